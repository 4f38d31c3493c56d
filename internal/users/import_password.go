package users

import (
	"context"
	"strings"

	"github.com/cxgctl/cxgctl/internal/importer"
	"github.com/cxgctl/cxgctl/internal/password"
)

// secrets reads the password or its hash.
func (r *rowReader) secrets(c *importer.Fields, in *incoming) {
	in.password, in.hash = password.Normal(c.Text("password")), c.Text("password_hash")
	switch {
	case in.password != "" && in.hash != "":
		c.Add("password", "a row has a password or a password_hash, not both")
	case in.password != "":
		if err := password.Check(in.password); err != nil {
			c.Add("password", "%s", strings.ReplaceAll(err.Error(), "password: ", ""))
		}
	case in.hash != "":
		if err := password.CheckHash(in.hash); err != nil {
			c.Add("password_hash", "%s", err)
		}
	case !r.opts.NoPasswords && r.opts.Passwords == nil && r.opts.OnConflict != importer.Update:
		// an account without a password in the export stays without one
		if !c.Names("password_hash") {
			c.Add("password", "it is missing")
		}
	}
}

// IsSlow reports whether the row's password has to be hashed.
func (im *importSpec) IsSlow(in *incoming) bool {
	return (in.password != "" || im.Passwords != nil) && !im.ledger.DryRun
}

// Prepare hashes the passwords of a batch and generates missing ones. A dry run only checks them and skips the hashing.
func (im *importSpec) Prepare(ctx context.Context, rows []*incoming) error {
	var plain []string
	var of []*incoming
	for _, in := range rows {
		if was, ok := im.hashed[in.Ordinal]; ok {
			in.hash, in.password, in.madeUp = was.hash, was.password, was.madeUp
			continue
		}
		if err := im.makeUp(in); err != nil {
			return err
		}
		if in.password != "" {
			plain, of = append(plain, in.password), append(of, in)
		}
	}
	if len(plain) == 0 {
		return nil
	}
	if im.ledger.DryRun {
		for _, in := range of {
			in.hash, in.password = dryHash, ""
		}
		return nil
	}
	hashes, err := im.Hash(ctx, plain)
	if err != nil {
		return err
	}
	for i, in := range of {
		in.hash = hashes[i]
		if !in.madeUp {
			in.password = ""
		}
		if im.hashed != nil {
			im.hashed[in.Ordinal] = hashedPassword{in.hash, in.password, in.madeUp}
		}
	}
	return nil
}

// hashedPassword is the result of hashing a row's password.
type hashedPassword struct {
	hash, password string // password is set only if it was generated
	madeUp         bool
}

// dryHash is the placeholder for a hash in a transaction that is rolled back.
const dryHash = "$2b$12$dry.run.dry.run.dry.run.dry.run.dry.run.dry.run.dry.run"

// makeUp sets a generated password for a row.
func (im *importSpec) makeUp(in *incoming) error {
	if im.Passwords == nil || in.password != "" || in.hash != "" {
		return nil
	}
	in.madeUp = true
	if in.password = im.Passwords.Known(in.New.Username); in.password != "" {
		return nil
	}
	var err error
	in.password, err = password.Generate()
	return err
}

// keepPasswords stores the generated passwords of new accounts before the transaction commits. If the commit fails,
// the next run reuses the stored password.
func (im *importSpec) keepPasswords(rows []*incoming) error {
	if im.Passwords == nil || im.ledger.DryRun {
		return nil
	}
	var names, made []string
	for _, in := range rows {
		if in.madeUp && in.hash != "" && in.Outcome == importer.Created {
			names, made = append(names, in.New.Username), append(made, in.password)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return im.Passwords.Store(names, made)
}
