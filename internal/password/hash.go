package password

import (
	"context"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// HashAll returns the bcrypt hashes of passwords in the same order, using one worker per processor. Each password must
// have passed Check. If ctx ends, it returns its cause.
func HashAll(ctx context.Context, passwords []string, cost int) ([]string, error) {
	hashes := make([]string, len(passwords))
	workers, ctx := errgroup.WithContext(ctx)
	workers.SetLimit(runtime.GOMAXPROCS(0))
	for i, pw := range passwords {
		workers.Go(func() (err error) {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			hashes[i], err = Hash(pw, cost)
			return err
		})
	}
	if err := workers.Wait(); err != nil {
		return nil, err
	}
	return hashes, nil
}
