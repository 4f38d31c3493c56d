package cli

import (
	"github.com/cxgctl/cxgctl/internal/bcrypt4"
	"github.com/cxgctl/cxgctl/internal/users"
)

// hasher returns how an import hashes passwords.
func hasher(which string) (users.Hasher, error) {
	p, err := bcrypt4.NewPool(hashCost, which == "reference")
	if err != nil {
		return nil, err
	}
	return p.Hash, nil
}
