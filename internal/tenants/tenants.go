// Package tenants holds the customers of the platform: the record, its members and subscriptions, and the lookup of
// tenant codes for other records.
package tenants

import (
	"context"
	"strings"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/resource"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Ref is what other nouns need to know about a tenant.
type Ref struct {
	ID   uuid.UUID `db:"id"`
	Code *string   `db:"code"`
	Live bool      `db:"live"`
}

// Name returns the tenant's code, or its id if it has no code.
func (t Ref) Name() string { return orID(t.Code, t.ID) }

// codeColumns are the names of the code's column over time, the current one first.
var codeColumns = []string{"code", "tenant_code"}

// code returns the expression for a tenant's code under the alias t, NULL if the table has no such column.
func code(shape *schema.Table) string { return expression(shape.FirstOf(codeColumns...)) }

// Join returns the LEFT JOIN from the column id of another table to its tenant under the alias t, and the expressions
// for the tenant's code and name. Without a tenants table, these are "" and NULL.
func Join(cat schema.Catalog, id string) (join, codeExpr, nameExpr string) {
	shape, ok := cat[schema.Tenants]
	if !ok {
		return "", "NULL::text", "NULL::text"
	}
	return "LEFT JOIN " + shape.Name + " t ON t.id = " + id, code(shape), expression(shape.FirstOf("name", "tenant_name"))
}

// named describes how tenants are identified.
var named = kind(func(t Ref) Ref { return t })

// There are thousands of tenants at most, so one sequential scan serves both keys.
const findByRef = `
SELECT t.id, {code} AS code, ({live}) AS live
  FROM {table} t
 WHERE t.id = ANY (@id::text[]::uuid[]) OR {code} = ANY (@code::text[])
 ORDER BY t.id`

// Find returns the tenant with this id or code, including deleted ones if deleted is set. If there is none, it
// returns RESOURCE_NOT_FOUND. The code of a deleted tenant can be reused, so several deleted tenants can match; that
// is a VALIDATION_ERROR that names them.
func Find(ctx context.Context, r db.Reader, cat schema.Catalog, text string, deleted bool) (Ref, error) {
	return find(ctx, r, cat, text, deleted, findByRef)
}

// Lock is Find for a live tenant inside a transaction. It locks the row until the transaction ends, so the tenant
// cannot be deleted in the meantime.
func Lock(ctx context.Context, tx db.Reader, cat schema.Catalog, text string) (Ref, error) {
	return find(ctx, tx, cat, text, false, findByRef+" FOR SHARE")
}

// List returns all live tenants, in byte order of their codes.
func List(ctx context.Context, r db.Reader, cat schema.Catalog) ([]Ref, error) {
	shape, err := cat.Table(schema.Tenants)
	if err != nil {
		return nil, err
	}
	const all = `SELECT t.id, {code} AS code, true AS live FROM {table} t WHERE {live} ORDER BY {code} COLLATE "C", t.id`
	sql := strings.NewReplacer("{table}", shape.Name, "{code}", code(shape), "{live}", shape.NotDeleted("t")).Replace(all)
	return db.Collect[Ref](ctx, r, sql)
}

// HoldEach is Lock for several REFs: each has its tenant or an error.
func HoldEach(ctx context.Context, tx db.Reader, cat schema.Catalog, texts []string) ([]resource.Match[Ref], error) {
	return findEach(ctx, tx, cat, texts, false, findByRef+" FOR SHARE")
}

func find(ctx context.Context, r db.Reader, cat schema.Catalog, text string, deleted bool, statement string) (Ref, error) {
	found, err := findEach(ctx, r, cat, []string{text}, deleted, statement)
	if err != nil {
		return Ref{}, err
	}
	named.Suggest(found, "", func(string) ([]string, error) {
		list, err := List(ctx, r, cat)
		var codes []string
		for _, t := range list {
			if t.Code != nil {
				codes = append(codes, *t.Code)
			}
		}
		return codes, err
	})
	return resource.Single(found)
}

func findEach(ctx context.Context, r db.Reader, cat schema.Catalog, texts []string, deleted bool, statement string) ([]resource.Match[Ref], error) {
	shape, err := cat.Table(schema.Tenants)
	if err != nil {
		return nil, err
	}
	sql := strings.NewReplacer("{table}", shape.Name, "{code}", code(shape), "{live}", shape.NotDeleted("t")).Replace(statement)
	matches, err := db.Collect[Ref](ctx, r, sql, named.Args(texts, ""))
	if err != nil {
		return nil, err
	}
	return named.Matches(texts, "", matches, deleted), nil
}
