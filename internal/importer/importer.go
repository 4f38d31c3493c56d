// Package importer imports files of records. Each row is applied once, however often the file is imported. Rows are
// applied in large transactions, together with their audit rows and a record of having been applied. A row that fails
// is reported and the others are applied. Nouns define the records and their rules: see Spec.
package importer

import (
	"crypto/sha256"
	"time"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/rowreader"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// The values of Options.OnConflict: what happens to a row whose unique value another record has.
const (
	Fail   = "fail"   // the row fails and names the field and the holder
	Skip   = "skip"   // the row is skipped
	Update = "update" // the existing record gets the row's values
)

// Tables are the tables that every import needs, besides those of the noun and the audit log.
var Tables = []string{schema.ImportFiles, schema.ImportRows}

// Database is the database that rows are applied to: the manager's or a tenant's.
type Database struct {
	Tenant uuid.UUID
	Code   string
}

// missing returns an error if a table that records imports does not exist.
func (h Database) missing(cat schema.Catalog) error {
	for _, name := range Tables {
		switch _, err := cat.Table(name); {
		case err != nil && h != Database{}:
			return fault.New(fault.Database, "table %s does not exist in the database of tenant %s", name, h.Code).
				WithHint("imports record their progress there; create it with: cxgctl migrate up --tenant %s", h.Code).With("table", name)
		case err != nil:
			return fault.From(err).WithHint("imports record their progress there; create it with: cxgctl migrate up --database manager")
		}
	}
	return nil
}

// key returns the key under which the tables know a file, for one noun, so that importing a file as users does not
// affect importing it as something else. For users it is the fingerprint itself, for compatibility. Tenants that
// share a database have separate keys.
func (h Database) key(f *rowreader.File, resource string) []byte {
	text := f.Sum[:]
	switch {
	case h != Database{}:
		text = append(text, h.Tenant[:]...)
	case resource != "user":
		text = append([]byte(resource+"\x00"), text...)
	default:
		return text
	}
	sum := sha256.Sum256(text)
	return sum[:]
}

// Options control an import, whatever the records.
type Options struct {
	Read       rowreader.Options // except the fields, which the noun sets
	OnConflict string            // "" means Fail
	Atomic     bool              // apply all rows or none, in one transaction
	MaxErrors  int               // stop after this many failed rows; 0 means never
	Again      bool              // apply rows again that earlier runs applied

	Applied  func(id uuid.UUID)                 // called for each record that was created or changed, after the commit; may be nil
	Failed   func(Failure, rowreader.Row) error // called for each failed row, in line order within a batch
	Progress func(Report)                       // called after every batch
}

// Failure is the reason that a row was not applied.
type Failure struct {
	Line    int64      `json:"line"` // where the row starts; in json the number of the object
	Field   string     `json:"field"`
	Value   string     `json:"value"` // never a secret
	Code    fault.Code `json:"code"`
	Message string     `json:"message"`
	Kind    string     `json:"-"`      // equal for failures with the same cause
	Holder  *uuid.UUID `json:"holder"` // the record that has the value already
}

// Report counts the outcomes of an import. Rows is the number of rows read.
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
	Stopped        bool          `json:"stopped"`     // by --max-errors
	Deactivated    []string      `json:"deactivated"` // the names of records that the file does not name, see Spec.Finish
	Last           *Operation    `json:"-"`           // the latest of the earlier runs

	Altered map[Alteration]int64 `json:"-"` // number of rows that were stored differently, by how
}
