// Package imports applies files of records to the platform's data, each row once, however often a file is
// run. Rows go in transactions of many, with their audit rows and with the record of having been applied; one that
// fails is reported, and the others go ahead. What a record is, and when it is refused, is up to the nouns:
// see Kind.
package importer

import (
	"crypto/sha256"
	"time"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/rowreader"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// The values of Options.OnConflict: what happens to a row that claims what another record has.
const (
	Fail   = "fail"   // it fails, and names field and holder
	Skip   = "skip"   // it is read over
	Update = "update" // the record that is there gets the values that the row names
)

// Tables are those that every import needs, beside the noun's own and the audit log.
var Tables = []string{schema.ImportFiles, schema.ImportRows}

// Home is the database that rows are applied in: the manager's, or that of the tenant who is named.
type Target struct {
	Tenant uuid.UUID
	Code   string
}

// lacks says what is missing of the tables in which an import keeps what it has applied.
func (h Target) missing(cat schema.Catalog) error {
	for _, name := range Tables {
		switch _, err := cat.Table(name); {
		case err != nil && h != Target{}:
			return fault.New(fault.Database, "table %s does not exist in the database of tenant %s", name, h.Code).
				WithHint("imports record their progress there; create it with: cxgctl migrate up --tenant %s", h.Code).With("table", name)
		case err != nil:
			return fault.From(err).WithHint("imports record their progress there; create it with: cxgctl migrate up --database manager")
		}
	}
	return nil
}

// key is what the tables know a file by, for one noun: what was applied of it as users says nothing of it
// as anything else. Users came first, and theirs is the file's fingerprint itself. Of tenants who share a
// database each has its own.
func (h Target) key(f *rowreader.File, resource string) []byte {
	text := f.Sum[:]
	switch {
	case h != Target{}:
		text = append(text, h.Tenant[:]...)
	case resource != "user":
		text = append([]byte(resource+"\x00"), text...)
	default:
		return text
	}
	sum := sha256.Sum256(text)
	return sum[:]
}

// Options say how a file is imported, whatever it holds.
type Options struct {
	Read       rowreader.Options // but for the fields, which the noun knows
	OnConflict string            // "" is Fail
	Atomic     bool              // all rows or none, in one transaction
	MaxErrors  int               // stop once so many rows have failed; 0 never does
	Again      bool              // apply rows anew that earlier runs applied

	Failed   func(Failure, rowreader.Row) error // told of each row that failed, in the order of lines within a batch
	Progress func(Report)                       // told after every batch
}

// Failure is why a row was not applied.
type Failure struct {
	Line    int64      `json:"line"` // where the row begins; in json the number of the object
	Field   string     `json:"field"`
	Value   string     `json:"value"` // never a password
	Code    fault.Code `json:"code"`
	Message string     `json:"message"`
	Kind    string     `json:"-"`      // the same for failures of one cause
	Holder  *uuid.UUID `json:"holder"` // the record that has the value already
}

// Report is what an import did. Rows counts those that were read.
type Report struct {
	File           string        `json:"file"`
	SHA256         string        `json:"sha256"`
	OpID           uuid.UUID     `json:"op_id"`
	DryRun         bool          `json:"dry_run"`
	Rows           int64         `json:"rows"`
	AppliedEarlier int64         `json:"applied_before"` // by earlier runs of the same file
	Created        int64         `json:"created"`
	Updated        int64         `json:"updated"`
	Unchanged      int64         `json:"unchanged"`
	Skipped        int64         `json:"skipped"`
	Failed         int64         `json:"failed"`
	Elapsed        time.Duration `json:"-"`
	Stopped        bool          `json:"stopped"` // by --max-errors
	Last           *Operation    `json:"-"`       // the latest of the earlier runs

	Altered map[Alteration]int64 `json:"-"` // how many rows were stored otherwise than they came, by how
}
