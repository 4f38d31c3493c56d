package rowupdate

import (
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/resource"
)

// IfUpdatedAt returns the check that a row's updated_at is still the one that the caller saw. stamps returns the
// row's updated_at and created_at; the latter counts until the first update.
func IfUpdatedAt[T any](noun *resource.Kind[T], want db.Time, stamps func(T) (updated, created *db.Time)) func(T) error {
	return func(row T) error {
		have, created := stamps(row)
		if have == nil {
			have = created
		}
		if have != nil && have.Equal(want) {
			return nil
		}
		return fault.New(fault.Conflict, "%s %q was changed at %s, after the time that --if-updated-at gives", noun.Name, noun.DisplayName(row), have).
			WithHint("nothing was changed; look at the row again").With(noun.Keys[1].Name, noun.DisplayName(row)).With("updated_at", have)
	}
}
