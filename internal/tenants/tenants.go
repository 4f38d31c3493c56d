// Package tenants is the customers of the platform: how one is named, and how other records come by
// the code that people know a tenant by.
package tenants

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/ref"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Tenant is what a REF leads to.
type Tenant struct {
	ID   uuid.UUID `db:"id"`
	Code *string   `db:"code"`
	Live bool      `db:"live"`
}

// codeColumns are the names that the code's column has had, the current one first.
var codeColumns = []string{"code", "tenant_code"}

// code returns the expression for a tenant's code under the alias; NULL where no column has it.
func code(shape *schema.Table, alias string) string {
	for _, c := range codeColumns {
		if shape.Has(c) {
			return alias + "." + c
		}
	}
	return "NULL::text"
}

// Join returns the LEFT JOIN that leads from the column id of another table to its tenant, and the
// expression for the tenant's code behind it: no join and NULL in a database without tenants. It takes
// the alias t.
func Join(cat schema.Catalog, id string) (join, codeExpr string) {
	shape, ok := cat[schema.Tenants]
	if !ok {
		return "", "NULL::text"
	}
	return "LEFT JOIN " + shape.Name + " t ON t.id = " + id, code(shape, "t")
}

// noun is how tenants are named: by id or code.
var noun = ref.Noun[Tenant]{
	Name: "tenant",
	Keys: []ref.Key[Tenant]{
		{Name: "id", Of: func(t Tenant) string { return t.ID.String() }},
		{Name: "code", Of: func(t Tenant) string {
			if t.Code == nil {
				return ""
			}
			return *t.Code
		}},
	},
	Live:     func(t Tenant) bool { return t.Live },
	Describe: func(t Tenant) string { return "(" + t.ID.String() + ")" },
	Settle:   "name the tenant by its id",
	Field:    func(string) string { return "tenant" },
	Restore: func(Tenant) string {
		return "a deleted tenant of that name exists; --include-deleted takes it into account"
	},
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
func Find(ctx context.Context, r db.Reader, cat schema.Catalog, text string, deleted bool) (Tenant, error) {
	return find(ctx, r, cat, text, deleted, findByRef)
}

// Hold is Find of a live tenant inside a transaction, until whose end the tenant stays as it is: what is
// written in it cannot end up with one that was deleted meanwhile.
func Hold(ctx context.Context, tx db.Reader, cat schema.Catalog, text string) (Tenant, error) {
	return find(ctx, tx, cat, text, false, findByRef+" FOR SHARE")
}

// HoldEach is Hold of many: each REF has its tenant, or why it has none.
func HoldEach(ctx context.Context, tx db.Reader, cat schema.Catalog, texts []string) ([]ref.Found[Tenant], error) {
	return findEach(ctx, tx, cat, texts, false, findByRef+" FOR SHARE")
}

func find(ctx context.Context, r db.Reader, cat schema.Catalog, text string, deleted bool, statement string) (Tenant, error) {
	found, err := findEach(ctx, r, cat, []string{text}, deleted, statement)
	if err != nil {
		return Tenant{}, err
	}
	return ref.One(found)
}

func findEach(ctx context.Context, r db.Reader, cat schema.Catalog, texts []string, deleted bool, statement string) ([]ref.Found[Tenant], error) {
	shape, err := cat.Table(schema.Tenants)
	if err != nil {
		return nil, err
	}
	sql := strings.NewReplacer("{table}", shape.Name, "{code}", code(shape, "t"), "{live}", shape.Live("t")).Replace(statement)
	matches, err := db.Collect[Tenant](ctx, r, sql, pgx.QueryExecModeExec, noun.Args(texts, ""))
	if err != nil {
		return nil, err
	}
	return noun.Match(texts, "", matches, deleted), nil
}
