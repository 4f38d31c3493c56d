package seal

import (
	"time"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/schema"
)

// Builder builds the seals of rows before they are written. It is not safe for concurrent use.
type Builder struct {
	canonicalizer
	form []byte
}

// NewBuilder returns a Builder for rows of the log's table.
func NewBuilder(t *schema.Table) *Builder {
	return &Builder{canonicalizer: canonicalizer{fields: sealedFields(t)}}
}

// Columns returns the sealed columns, sorted by name.
func (b *Builder) Columns() []string {
	names := make([]string, len(b.fields))
	for i, f := range b.fields {
		names[i] = f.name
	}
	return names
}

// Build builds the seal of a row of cxgctl, and appends its compressed canonical form to buf, which the seal refers to.
// at is the time of the transaction, in microseconds. The values come in the order of Columns, in binary format; nil is
// NULL. exact is false if the server may store JSON of the row in another spelling, so that the row has to be read
// back.
func (b *Builder) Build(
	buf []byte, id uuid.UUID, at time.Time, values [][]byte,
) (seal Link, packed []byte, exact bool, err error) {
	b.doc.restyled = false
	if b.form, err = b.binary(b.form[:0], originCLI, at.UnixMicro(), values); err != nil {
		return seal, buf, false, err
	}
	p := compressors.Get().(*compressor)
	defer compressors.Put(p)
	from := len(buf)
	buf = p.compress(buf, b.form)
	seal = Link{
		AuditID:  id,
		origin:   originCLI,
		sealedAt: at,
		canon:    buf[from:len(buf):len(buf)],
		leaf:     leafOf(b.form),
	}
	return seal, buf, !b.doc.restyled, nil
}
