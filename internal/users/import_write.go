package users

import (
	"context"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/importer"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// copyColumns returns the columns of new users that this database has.
func copyColumns(t *Table) []importer.Column[*incoming] {
	col := importer.Col[*incoming]
	list := []importer.Column[*incoming]{
		col("id", func(in *incoming) any { return importer.ID(&in.user.ID) }),
		col("username", func(in *incoming) any { return in.user.Username }),
		col("full_name", func(in *incoming) any { return importer.Text(in.user.FullName) }),
		col("email", func(in *incoming) any { return in.user.Email }),
		col("phone", func(in *incoming) any { return importer.Text(in.user.Phone) }),
		col("user_type", func(in *incoming) any { return importer.Text(in.user.UserType) }),
		col("status", func(in *incoming) any { return importer.Text(in.user.Status) }),
		col("mfa_enabled", func(in *incoming) any { return in.user.MFAEnabled }),
		col("sso_provider", func(in *incoming) any { return importer.Text(in.user.SSOProvider) }),
		col("sso_subject", func(in *incoming) any { return orNil(in.sso) }),
		col("email_verified", func(in *incoming) any { return in.user.EmailVerified }),
		col("phone_verified", func(in *incoming) any { return in.user.PhoneVerified }),
		col("last_login_at", func(in *incoming) any { return in.user.LastLoginAt }),
		col("last_login_ip", func(in *incoming) any { return importer.Text(in.user.LastLoginIP) }),
		col("failed_login_attempts", func(in *incoming) any { return in.user.FailedLoginAttempts }),
		col("locked_until", func(in *incoming) any { return in.user.LockedUntil }),
		col("password", func(in *incoming) any { return orNil(in.hash) }),
		col("password_hash", func(in *incoming) any { return orNil(in.hash) }),
		col("user_code", func(in *incoming) any { return in.user.Username }),
		col("password_changed_at", func(in *incoming) any { return in.user.PasswordChangedAt }),
		col("force_password_change", func(in *incoming) any { return in.user.ForcePasswordChange }),
		col("timezone", func(in *incoming) any { return importer.Text(in.user.Timezone) }),
		col("locale", func(in *incoming) any { return importer.Text(in.user.Locale) }),
		col("department", func(in *incoming) any { return importer.Text(in.user.Department) }),
		col("position", func(in *incoming) any { return importer.Text(in.user.Position) }),
		col("created_at", func(in *incoming) any { return in.user.CreatedAt }),
		col("created_by", func(in *incoming) any { return importer.ID(in.user.CreatedBy) }),
		col("updated_at", func(in *incoming) any { return in.user.UpdatedAt }),
		col("updated_by", func(in *incoming) any { return importer.ID(in.user.UpdatedBy) }),
	}
	if t.tenant != nil {
		return importer.Existing(t.shape, append(list, tenantColumns(t)...))
	}
	for _, v := range schema.LiveValues() {
		whenLive, err := strconv.ParseBool(v[1])
		if err == nil {
			list = append(list, col(v[0], func(in *incoming) any { return in.user.IsActive == whenLive }))
		}
	}
	return importer.Existing(t.shape, list)
}

func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// born sets the defaults of a new user that come from the transaction, unless the file has values.
func (im *importSpec) born(in *incoming, at time.Time, by *uuid.UUID) error {
	u := &in.user
	if u.ID == uuid.Nil {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		u.ID = id
	}
	now := db.At(at)
	if u.CreatedAt == nil || in.bornNow {
		u.CreatedAt, in.bornNow = &now, true
	}
	if u.CreatedBy == nil {
		u.CreatedBy = by
	}
	if in.hash != "" && u.PasswordChangedAt == nil && im.t.shape.Has("password_changed_at") || in.changedNow {
		u.PasswordChangedAt, in.changedNow = &now, true
	}
	return nil
}

// stored reads back inserted users. A trigger may have skipped, moved or rewritten some.
func (im *importSpec) stored(ctx context.Context, tx pgx.Tx, rows []*incoming) error {
	now, err := im.readBack(ctx, tx, db.Insert, rows)
	if err != nil {
		return err
	}
	for _, in := range rows {
		in.stored = nil
		is := now[in.user.ID]
		if is == nil {
			continue
		}
		sent := in.user
		sent.Deleted = is.Deleted // rows do not have this field
		if !reflect.DeepEqual(sent, *is) {
			in.stored = is
		}
	}
	return nil
}

// readBack returns the users of rows as stored, by id. It fails rows whose user is missing or does not have the row's
// password.
func (im *importSpec) readBack(ctx context.Context, tx pgx.Tx, e db.Event, rows []*incoming) (map[uuid.UUID]*User, error) {
	ids := make([]uuid.UUID, len(rows))
	var hashed []uuid.UUID
	var hashes []string
	for i, in := range rows {
		if ids[i] = in.user.ID; in.hash != "" {
			hashed, hashes = append(hashed, in.user.ID), append(hashes, in.hash)
		}
	}
	found, err := db.Collect[User](ctx, tx, im.t.sql("SELECT {columns} FROM {table} u WHERE u.id = ANY ($1::uuid[])"), ids)
	if err != nil {
		return nil, err
	}
	now := make(map[uuid.UUID]*User, len(found))
	for i := range found {
		now[found[i].ID] = &found[i]
	}
	if len(hashed) > 0 {
		sql := "SELECT v.id FROM unnest($1::uuid[], $2::text[]) AS v (id, hash) JOIN {table} u ON u.id = v.id WHERE u.{password} IS DISTINCT FROM v.hash"
		sql = strings.ReplaceAll(sql, "{password}", im.t.shape.FirstOf("password", "password_hash"))
		rows, err := tx.Query(ctx, im.t.sql(sql), hashed, hashes)
		if err != nil {
			return nil, err
		}
		others, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		if err != nil {
			return nil, err
		}
		for _, id := range others {
			delete(now, id)
		}
	}
	if len(now) == len(rows) {
		return now, nil
	}
	refused := db.NotStored(ctx, tx, im.t.shape.Name, e, "kept the row from being stored as it was sent")
	if f := fault.From(refused); f.Code != fault.Database {
		return nil, refused
	}
	for _, in := range rows {
		if now[in.user.ID] == nil {
			in.Fail("username", in.user.Username, refused, nil)
		}
	}
	return now, nil
}

// made returns the change that records a new user.
func made(in *incoming) audit.Change {
	if in.stored != nil {
		return madeAs(in, in.stored)
	}
	return madeAs(in, &in.user)
}

func madeAs(in *incoming, u *User) audit.Change {
	c := audit.Change{Subject: audit.Subject{Resource: Kind.Name, ID: u.ID, Name: u.Username}, Action: audit.Create, After: u}
	if in.hash != "" {
		c.Secrets = []string{"password"}
	}
	return c
}

// changes returns the changes of a batch, for the audit log.
func changes(rows []*incoming, before map[uuid.UUID]User) []audit.Change {
	list := make([]audit.Change, 0, len(rows))
	for _, in := range rows {
		switch in.Outcome {
		case importer.Created:
			list = append(list, made(in))
		case importer.Updated:
			was := before[in.user.ID]
			c := made(in)
			c.Action, c.Before = audit.Update, &was
			list = append(list, c)
		}
	}
	return list
}

const readDefaults = `
SELECT a.attname, pg_get_expr(d.adbin, d.adrelid)
  FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
 WHERE d.adrelid = to_regclass($1) AND a.attname IN ('timezone', 'locale', 'phone', 'department', 'position')`

// defaults returns the column defaults of optional texts. COPY sends every column, and audit rows record what the new
// user has.
func (t *Table) defaults(ctx context.Context, r db.Reader) (map[string]*string, error) {
	rows, err := r.Query(ctx, readDefaults, t.shape.Name)
	if err != nil {
		return nil, err
	}
	var names, exprs []string
	var name, expr string
	if _, err := pgx.ForEachRow(rows, []any{&name, &expr}, func() error {
		names, exprs = append(names, name), append(exprs, "("+expr+")::text")
		return nil
	}); err != nil || len(names) == 0 {
		return nil, err
	}
	values := make([]*string, len(names))
	into := make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	// expressions come from the catalog, not from input
	if err := r.QueryRow(ctx, "SELECT "+strings.Join(exprs, ", ")).Scan(into...); err != nil {
		return nil, err
	}
	m := map[string]*string{}
	for i, n := range names {
		m[n] = values[i]
	}
	return m, nil
}
