package tenants

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/rowupdate"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Edit is a change of existing tenants. Functions of this package build one and Apply makes it.
type Edit = rowupdate.Update[Tenant]

// New describes a tenant to create.
type New struct {
	Tenant         // the given fields
	Status  string // TRIAL or ACTIVE; "" is TRIAL for a tenant of type TRIAL, else ACTIVE
	Today   db.Date
	Refused fault.Problems // problems that the caller found while parsing
}

// Check normalizes the values and returns all problems at once.
func (n *New) Check() error {
	p := n.Refused
	for i, field := range []*string{n.Code, n.Name} {
		if name := []string{"code", "name"}[i]; field == nil && !p.Has(name) {
			p.Add(name, "it is missing")
		}
	}
	if n.Type == nil {
		kind := "STANDARD"
		n.Type = &kind
	}
	if n.StartDate == nil {
		n.StartDate = &n.Today
	}
	check(&p, &n.Tenant)
	switch {
	case n.Status != "":
		n.Status = p.Choices("status", []string{n.Status}, Statuses[:2])[0]
	case *n.Type == "TRIAL":
		n.Status = "TRIAL"
	default:
		n.Status = "ACTIVE"
	}
	checkDates(&p, n.StartDate, n.CloseDate, n.Today)
	return p.Err()
}

// Create inserts a tenant that has passed Check. If a live tenant has the code or business number, it returns
// RESOURCE_ALREADY_EXISTS and names the holder. The unique indexes decide that, not a query beforehand.
func (t *Table) Create(ctx context.Context, l *audit.Ledger, n New) (Tenant, error) {
	var made Tenant
	values := [][2]string{
		{"id", "@id"},
		{"created_at", "@now"},
		{"created_by", "@by"},
		{"status", "@status"},
		{"is_suspended", "false"},
	}
	args := pgx.NamedArgs{}
	for _, f := range fields.Given(&n.Tenant) {
		column := t.column(f.Name)
		if err := t.Shape.RequireColumns([]string{column}); err != nil {
			return made, err
		}
		values = append(values, [2]string{column, "@" + f.Name})
		args[f.Name] = f.Arg(&n.Tenant)
	}
	values = append(values, schema.LiveValues()...)
	about := audit.Subject{Resource: Kind.Name, Name: *n.Code}
	err := l.Write(ctx, audit.Intent{Subject: about, Action: audit.Create}, func(ctx context.Context, tx *audit.Tx) ([]audit.Change, error) {
		args["id"], args["now"], args["by"], args["status"] = tx.NewID(), tx.Now, tx.By.ID, n.Status
		if err := tx.Insert(ctx, t.Shape, fmt.Sprintf("tenant %q", *n.Code), values, args); err != nil {
			return nil, t.taken(ctx, l.Reader(), err, &n.Tenant)
		}
		rows, err := db.Collect[Tenant](ctx, tx, t.sql("SELECT {columns} FROM {table} t WHERE t.id = @id"), args)
		if err != nil {
			return nil, err
		}
		made = rows[0]
		change := audit.Change{Subject: about, Action: audit.Create, After: made}
		change.ID, change.TenantID = made.ID, &made.ID
		return []audit.Change{change}, nil
	})
	return made, err
}

// taken turns a unique violation into an error that names what is taken and by whom.
func (t *Table) taken(ctx context.Context, r db.Reader, cause error, want *Tenant) error {
	const find = `SELECT {columns} FROM {table} t WHERE ({code} = @code OR {biz_no} = @biz_no) AND {live} ORDER BY t.id`
	holders := db.Query{SQL: t.sql(find), Args: pgx.NamedArgs{"code": want.Code, "biz_no": want.BizNo}}
	return t.Taken(ctx, r, cause, holders, fields.Named("biz_no", "code"), want)
}

// Patch is a partial change of one tenant. The code cannot change, because databases are found by it.
type Patch struct {
	Tenant               // the given fields
	Unset       []string // optional fields that become NULL
	IfUpdatedAt *db.Time // the updated_at that the caller last saw
	Today       db.Date
	Refused     fault.Problems
}

// Empty reports whether the patch changes nothing.
func (p Patch) Empty() bool {
	return len(fields.Given(&p.Tenant)) == 0 && len(p.Unset) == 0 && p.Refused.Err() == nil
}

// Change returns the edit that a patch makes of a tenant as the caller saw it, or the patch's problems. An empty
// patch is a USAGE_ERROR.
func (t *Table) Change(seen Tenant, patch Patch) (Edit, error) {
	p := patch.Refused
	check(&p, &patch.Tenant)
	wanted := fields.Given(&patch.Tenant)
	given := func(name string) bool { return len(wanted.Named(name)) > 0 }
	var unset schema.FieldsOf[Tenant]
	rowupdate.ApplyUnset(&p, patch.Unset, Unsettable, given, func(name string) { unset = append(unset, fields.Named(name)...) })
	start, end := patch.StartDate, patch.CloseDate
	switch {
	case start == nil && end != nil:
		start = seen.StartDate
	case start != nil && end == nil && len(unset.Named("close_date")) == 0:
		end = seen.CloseDate
	}
	checkDates(&p, start, end, patch.Today)
	if err := p.Err(); err != nil {
		return Edit{}, err
	}
	if wanted = append(wanted, unset...); len(wanted) == 0 {
		return Edit{}, rowupdate.ErrNothingToChange("tenants update")
	}
	e := rowupdate.SetFields(wanted, &patch.Tenant, t.called)
	if patch.IfUpdatedAt != nil {
		e.Check = rowupdate.IfUpdatedAt(&Kind, *patch.IfUpdatedAt, func(x Tenant) (updated, created *db.Time) { return x.UpdatedAt, x.CreatedAt })
	}
	return e, nil
}

// SetStatus returns the edit that sets a status, or an error if the status is not allowed. SUSPENDED requires a
// reason and sets a date; every other status clears both. Columns that this database does not have are skipped.
func (t *Table) SetStatus(status, reason string) (Edit, error) {
	var p fault.Problems
	v := p.Choices("set", []string{status}, Statuses)[0]
	if err := p.Err(); err != nil {
		return Edit{}, err
	}
	suspended := v == "SUSPENDED"
	if suspended && strings.TrimSpace(reason) == "" {
		return Edit{}, fault.New(fault.Usage, "SUSPENDED needs --reason").WithHint("it is stored as suspended_reason")
	}
	e := Edit{Action: audit.Update, Set: "status = @set_status", Args: pgx.NamedArgs{"set_status": v}, Columns: []string{"status"}}
	set := func(field, whenSuspended, otherwise string) bool {
		column := t.column(field)
		if !t.Shape.Has(column) {
			return false
		}
		if !suspended {
			whenSuspended = otherwise
		}
		e.Set += ", " + column + " = " + whenSuspended
		return true
	}
	now := "@now"
	if c, _ := t.Shape.Column(t.column("suspended_date")); c.Kind() == "date" {
		now = "(@now AT TIME ZONE 'UTC')::date"
	}
	set("suspended_date", now, "NULL")
	flag := set("is_suspended", "true", "false")
	kept := set("suspended_reason", "@set_reason", "NULL")
	if kept && suspended {
		e.Args["set_reason"] = reason
	}
	e.IsNoop = func(x Tenant) bool {
		return x.Status != nil && *x.Status == v && (!flag || x.IsSuspended != nil && *x.IsSuspended == suspended) &&
			(!suspended || !kept || x.SuspendedReason != nil && *x.SuspendedReason == reason)
	}
	return e, nil
}

// SetDeleted returns the edit that marks tenants as deleted or restores them. A table without a soft-delete column is
// a DATABASE_ERROR, because rows are never deleted physically.
func (t *Table) SetDeleted(deleted bool) (Edit, error) {
	return rowupdate.SetDeleted(t.Shape, deleted, func(x Tenant) bool { return x.Deleted })
}

// rows describes the table to rowupdate.
func (t *Table) rows() rowupdate.Table[Tenant] {
	return rowupdate.Table[Tenant]{
		Noun: &Kind, Shape: t.Shape, Alias: "t", Columns: t.Columns, ColumnNames: t.called,
		ByRef: t.sql(findTenants), ByPrefix: t.sql(completeCodes), Search: "cxgctl tenants list --search",
		Tenant: func(x Tenant) *uuid.UUID { return &x.ID },
		TranslateError: func(ctx context.Context, r db.Reader, err error, e Edit) error {
			number, _ := e.Args["set_biz_no"].(string)
			return t.taken(ctx, r, err, &Tenant{BizNo: &number})
		},
	}
}
