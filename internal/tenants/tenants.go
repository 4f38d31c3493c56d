// Package tenants is the customers of the platform: what a tenant is, who its members are, what it subscribes to,
// and how other records come by the code that people know a tenant by.
package tenants

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/resource"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Named is what other nouns know of the tenant that a REF leads to.
type Ref struct {
	ID   uuid.UUID `db:"id"`
	Code *string   `db:"code"`
	Live bool      `db:"live"`
}

// Name is what the tenant is called: by its code or, where it has none, its id.
func (t Ref) Name() string { return orID(t.Code, t.ID) }

// codeColumns are the names that the code's column has had, the current one first.
var codeColumns = []string{"code", "tenant_code"}

// code returns the expression for a tenant's code under the alias t; NULL where no column has it.
func code(shape *schema.Table) string { return expression(shape.FirstOf(codeColumns...)) }

// Join returns the LEFT JOIN that leads from the column id of another table to its tenant, and the
// expression for the tenant's code behind it: no join and NULL in a database without tenants. It takes
// the alias t.
func Join(cat schema.Catalog, id string) (join, codeExpr string) {
	shape, ok := cat[schema.Tenants]
	if !ok {
		return "", "NULL::text"
	}
	return "LEFT JOIN " + shape.Name + " t ON t.id = " + id, code(shape)
}

// CodesByID returns the statement for every tenant's id and code, with which a client can do what Join does; false
// where an id may not be compared as it is sent.
func CodesByID(cat schema.Catalog) (sql string, ok bool) {
	shape := cat[schema.Tenants]
	if shape == nil || shape.FirstOf(codeColumns...) == "" {
		return "", false
	}
	id, _ := shape.Column("id")
	return "SELECT t.id, " + code(shape) + "::text FROM " + shape.Name + " t", id.Type == "uuid"
}

// named is how they are found: by id or code.
var named = resource.Kind[Ref]{
	Name: "tenant",
	Keys: []resource.Key[Ref]{
		{Name: "id", Of: func(t Ref) string { return t.ID.String() }},
		{Name: "code", Of: func(t Ref) string {
			if t.Code == nil {
				return ""
			}
			return *t.Code
		}},
	},
	IsLive:        func(t Ref) bool { return t.Live },
	Describe:      func(t Ref) string { return "(" + t.ID.String() + ")" },
	AmbiguityHint: "name the tenant by its id",
	GuessKey:      func(string) string { return "tenant" },
	DeletedHint:   func(t Ref) string { return deletedHint(t.ID) },
}

// deletedHint helps whatever command named the tenant, whether it could look at deleted ones or not.
func deletedHint(id uuid.UUID) string {
	return "a deleted tenant of that name exists; look at it with: cxgctl tenants get " + id.String() + " --include-deleted"
}

// There are thousands of tenants at most, so that one pass over them serves both ways to name one.
const findByRef = `
SELECT t.id, {code} AS code, ({live}) AS live
  FROM {table} t
 WHERE t.id = ANY (@id::text[]::uuid[]) OR {code} = ANY (@code::text[])
 ORDER BY t.id`

// Find returns the tenant that a REF, its id or its code, names; deleted ones count if deleted is set.
// None is a RESOURCE_NOT_FOUND. A code may be used again once its tenant is deleted, so that among
// deleted ones it can fit several, which is a VALIDATION_ERROR that names them.
func Find(ctx context.Context, r db.Reader, cat schema.Catalog, text string, deleted bool) (Ref, error) {
	return find(ctx, r, cat, text, deleted, findByRef)
}

// Hold is Find of a live tenant inside a transaction, until whose end the tenant stays as it is: what is
// written in it cannot end up with one that was deleted meanwhile.
func Lock(ctx context.Context, tx db.Reader, cat schema.Catalog, text string) (Ref, error) {
	return find(ctx, tx, cat, text, false, findByRef+" FOR SHARE")
}

// Codes returns all live tenants, in the order of their codes' bytes.
func List(ctx context.Context, r db.Reader, cat schema.Catalog) ([]Ref, error) {
	shape, err := cat.Table(schema.Tenants)
	if err != nil {
		return nil, err
	}
	const all = `SELECT t.id, {code} AS code, true AS live FROM {table} t WHERE {live} ORDER BY {code} COLLATE "C", t.id`
	sql := strings.NewReplacer("{table}", shape.Name, "{code}", code(shape), "{live}", shape.NotDeleted("t")).Replace(all)
	return db.Collect[Ref](ctx, r, sql)
}

// HoldEach is Hold of many: each REF has its tenant, or why it has none.
func HoldEach(ctx context.Context, tx db.Reader, cat schema.Catalog, texts []string) ([]resource.Match[Ref], error) {
	return findEach(ctx, tx, cat, texts, false, findByRef+" FOR SHARE")
}

func find(ctx context.Context, r db.Reader, cat schema.Catalog, text string, deleted bool, statement string) (Ref, error) {
	found, err := findEach(ctx, r, cat, []string{text}, deleted, statement)
	if err != nil {
		return Ref{}, err
	}
	return resource.Single(found)
}

func findEach(ctx context.Context, r db.Reader, cat schema.Catalog, texts []string, deleted bool, statement string) ([]resource.Match[Ref], error) {
	shape, err := cat.Table(schema.Tenants)
	if err != nil {
		return nil, err
	}
	sql := strings.NewReplacer("{table}", shape.Name, "{code}", code(shape), "{live}", shape.NotDeleted("t")).Replace(statement)
	matches, err := db.Collect[Ref](ctx, r, sql, pgx.QueryExecModeExec, named.Args(texts, ""))
	if err != nil {
		return nil, err
	}
	return named.Matches(texts, "", matches, deleted), nil
}
