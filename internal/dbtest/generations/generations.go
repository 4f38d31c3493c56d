// Package generations creates databases as cxgctl finds them in the field: created by other software, in every known
// generation, with the unusual rows that forms, old releases and repairs have left. Only tests import it.
package generations

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/template"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// OperatorID is the id of the user "admin", a MASTER inserted by Rows.
const OperatorID = "00000000-0000-4000-8000-000000000001"

// The shapes of the audit log.
const (
	EventAudit  = "event"  // event_type, event_category, description, …
	ActionAudit = "action" // action, target_entity, request_path, …: the backend's ORM form
)

// Generation is a pair of databases as created by other software.
type Generation struct {
	Name             string
	Manager, Tenants string // SQL that creates the tables in empty databases
	Rows             string // SQL that adds the operator to the manager database; may run twice

	UserFlag                                           string // soft-delete column of idam.users, or ""
	UserLive                                           bool   // its value in a live row
	InvoiceFlag                                        string // of bill.invoices, true for a deleted row
	TenantFlag                                         string // soft-delete column of tnnt.tenants
	RoleFlag                                           string // soft-delete column of idam.roles and idam.permissions, or ""
	TenantCode                                         string // columns with several names
	TenantName                                         string
	TenantType                                         string
	BizNo                                              string
	SuspendedDate                                      string // or ""
	RoleCode                                           string
	RoleName                                           string
	RoleKind                                           string
	PermissionCode, PermissionName, PermissionResource string
	AuditResource                                      string
	Suspends                                           bool   // tnnt.tenants has is_suspended and suspended_reason
	Ranked                                             bool   // roles have a kind instead of a level
	SoftGrants                                         bool   // idam.user_roles has is_deleted
	Model                                              bool   // amounts of bill.invoices are NOT NULL without a default
	OldTenants                                         bool   // sys.users is as in tenant_old.sql
	Audit                                              string // EventAudit, ActionAudit, or "" without a table
	Unguarded                                          bool   // user_type and status of idam.users have no CHECK
	SharedTenants                                      bool   // sys.users has tenant_id

	// Defects counts the defects of the tables and, with NastyRows, of the rows, and oddities that commands must
	// tolerate: the labels in comments of the SQL of the form "-- nasty: label". Of conflicting rows, the one that
	// completes the conflict counts.
	Defects map[string]int
}

// All contains every generation. G1 is included with both shapes of the audit log and without one, because G1's DDL
// often failed to create it. It is made on the first call, as the tests start thousands of processes.
var All = sync.OnceValue(func() []Generation {
	return []Generation{
		made(Generation{Name: "g0", UserFlag: "is_active", UserLive: true, SharedTenants: true, Audit: EventAudit},
			"schemas users roles access tenants billing audit g0 sqlalchemy_names", "tenant tenant_g0 sqlalchemy_names"),
		made(Generation{Name: "g1", Audit: EventAudit},
			"schemas users roles access tenants billing audit", "tenant"),
		made(Generation{Name: "g1alt", Audit: ActionAudit},
			"schemas users roles access tenants billing audit_alt", "tenant"),
		made(Generation{Name: "g1noaudit"},
			"schemas users roles access tenants billing", "tenant"),
		made(Generation{Name: "g2", UserFlag: "is_deleted", InvoiceFlag: "is_deleted", Audit: EventAudit, SoftGrants: true},
			"schemas users roles access tenants billing audit g2", "tenant"),
		made(Generation{
			Name: "gx", TenantFlag: "deleted", TenantCode: "tenant_code", TenantName: "tenant_name", TenantType: "tenant_type",
			BizNo: "business_no", SuspendedDate: none, Ranked: true, OldTenants: true,
			RoleFlag: none, RoleCode: "role_code", RoleName: "role_name", RoleKind: "role_type", Unguarded: true,
			PermissionCode: "permission_code", PermissionName: "permission_name", PermissionResource: "resource_type",
			Audit: EventAudit, AuditResource: "resource_type",
		},
			"schemas users roles_gx access tenants_gx billing audit gx sqlalchemy_names", "tenant_old sqlalchemy_names"),
		made(Generation{
			Name: "gxbetween", TenantFlag: "deleted", TenantCode: "tenant_code", TenantName: "tenant_name", SuspendedDate: "suspension_date",
			Ranked: true, RoleFlag: none, RoleCode: "role_code", RoleName: "role_name", RoleKind: "role_type", Unguarded: true,
			PermissionResource: "resource_type", Audit: EventAudit, AuditResource: "resource_type",
		},
			"schemas users roles_gx access tenants_gx billing audit gx gx_between", "tenant"),
		made(Generation{
			Name: "gxafter", TenantFlag: "deleted", Ranked: true, SoftGrants: true, Model: true, RoleFlag: none, RoleKind: "role_type",
			Unguarded: true, Suspends: true, OldTenants: true, Audit: EventAudit,
		},
			"schemas users roles_gx access tenants_gx billing billing_model audit gx gx_between gx_after", "tenant_old"),
	}
})

// Tried returns the generations that tests try: all or, in a short run, the one that differs most from what cxgctl's own
// migrations create.
func Tried() []Generation {
	if testing.Short() {
		return []Generation{Named("gx")}
	}
	return All()
}

// Named returns the generation of that name, and panics if it does not exist.
func Named(name string) Generation {
	i := slices.IndexFunc(All(), func(g Generation) bool { return g.Name == name })
	if i < 0 {
		panic("generations: unknown generation " + name)
	}
	return All()[i]
}

// With returns the generation with additional SQL, such as Rows and NastyRows. It becomes part of the template, so
// that tests do not have to insert the rows.
func (g Generation) With(manager, tenants string) Generation {
	g.Manager += "\n" + manager
	g.Tenants += "\n" + tenants
	return g
}

// Template returns the template of the generation's databases.
func (g Generation) Template() dbtest.Template {
	sum := sha256.Sum256([]byte(g.Manager + "\x00" + g.Tenants))
	return dbtest.Template{
		Name: "generation " + g.Name,
		Key:  hex.EncodeToString(sum[:]),
		Build: func(ctx context.Context, managerDSN, tenantDSN string) error {
			if err := execute(ctx, managerDSN, g.Manager); err != nil {
				return fmt.Errorf("manager database: %w", err)
			}
			if err := execute(ctx, tenantDSN, g.Tenants); err != nil {
				return fmt.Errorf("tenant database: %w", err)
			}
			return nil
		},
	}
}

// NastyRows returns the SQL that adds the defective rows to the two databases. It needs no other rows, works with the
// operator, and may run twice.
func (g Generation) NastyRows() (manager, tenants string) {
	if g.OldTenants {
		return g.render("nasty_manager"), g.render("nasty_tenants_old")
	}
	return g.render("nasty_manager"), g.render("nasty_tenants")
}

// none is a name that made must not set.
const none = "-"

// made sets what the generation has in common with G1, and what follows from its tables.
func made(g Generation, manager, tenants string) Generation {
	for field, g1 := range map[*string]string{
		&g.InvoiceFlag: "deleted", &g.TenantFlag: "is_deleted", &g.RoleFlag: "is_deleted",
		&g.TenantCode: "code", &g.TenantName: "name", &g.TenantType: "type", &g.BizNo: "biz_no", &g.SuspendedDate: "suspended_date",
		&g.RoleCode: "code", &g.RoleName: "name", &g.RoleKind: "category",
		&g.PermissionCode: "code", &g.PermissionName: "name", &g.PermissionResource: "resource", &g.AuditResource: "resource",
	} {
		switch *field {
		case "":
			*field = g1
		case none:
			*field = ""
		}
	}
	g.Suspends = g.Suspends || !g.Ranked
	g.Manager, g.Tenants = read(manager), read(tenants)
	g.Rows = g.render("rows")
	nastyManager, nastyTenants := g.NastyRows()
	g.Defects = labels(g.Manager + g.Tenants + nastyManager + nastyTenants)
	return g
}

//go:embed sql/*.sql
var files embed.FS

// rows are the files with rows: templates, because the columns have several names.
var rows = sync.OnceValue(func() *template.Template {
	return template.Must(template.ParseFS(files, "sql/rows.sql", "sql/nasty_*.sql"))
})

// read joins the named files.
func read(names string) string {
	var b strings.Builder
	for name := range strings.FieldsSeq(names) {
		sql, err := files.ReadFile("sql/" + name + ".sql")
		if err != nil {
			panic(err) // the file is embedded
		}
		b.Write(sql)
		b.WriteByte('\n')
	}
	return b.String()
}

func (g Generation) render(name string) string {
	var b bytes.Buffer
	data := struct {
		Generation
		Operator string
	}{g, OperatorID}
	if err := rows().ExecuteTemplate(&b, name+".sql", data); err != nil {
		panic(err) // the templates only depend on this package
	}
	return b.String()
}

var nastyComment = regexp.MustCompile(`-- nasty: ([a-z-]+(?:, [a-z-]+)*)\n`)

// labels counts the labels in SQL.
func labels(sql string) map[string]int {
	count := map[string]int{}
	for _, m := range nastyComment.FindAllStringSubmatch(sql, -1) {
		for label := range strings.SplitSeq(m[1], ", ") {
			count[label]++
		}
	}
	return count
}

// execute runs statements as one transaction.
func execute(ctx context.Context, dsn, sql string) error {
	conn, err := pgconn.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql).ReadAll()
	if closeErr := conn.Close(ctx); err == nil {
		err = closeErr
	}
	return err
}
