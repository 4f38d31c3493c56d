// Package migrate brings a database to the schema that this cxgctl knows, by the embedded goose
// migrations. Runs wait for each other; what was applied stands in public.cxgctl_migrations.
package migrate

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/migrations"
)

// Database says which of the two schemas a server's database holds.
type Database string

// The two databases of a CXG installation.
const (
	Manager Database = "manager"
	Tenants Database = "tenants"
)

// Databases lists them in the order in which they are migrated.
var Databases = []Database{Manager, Tenants}

// Table is where a database records the migrations that were applied to it.
const Table = "public.cxgctl_migrations"

// Step is one migration and whether the database has it.
type Step struct {
	Version   int64
	Name      string // the file's name; "" for one that the database has and this cxgctl does not know
	Applied   bool
	AppliedAt time.Time // UTC; zero when not applied
}

// Result is one migration that a run carried out.
type Result struct {
	Version   int64
	Name      string // the file's name
	Direction string // "up" or "down"
	Duration  time.Duration
}

// Up applies everything that is pending, in order, each migration in a transaction of its own, and
// returns what it applied. A run that finds another under way waits for it until ctx ends (BUSY when
// ctx's deadline passes meanwhile). A migration that fails is a DATABASE_ERROR naming its file; those
// before it stay, and are returned.
func Up(ctx context.Context, cfg *pgx.ConnConfig, which Database) ([]Result, error) {
	return run(ctx, cfg, which, func(p *goose.Provider, _ bool) ([]*goose.MigrationResult, error) {
		return p.Up(ctx)
	})
}

// Down takes back the migration that was applied last and returns it; nothing where none is applied.
// It waits and fails as Up does.
func Down(ctx context.Context, cfg *pgx.ConnConfig, which Database) ([]Result, error) {
	return run(ctx, cfg, which, func(p *goose.Provider, fresh bool) ([]*goose.MigrationResult, error) {
		if fresh {
			return nil, nil
		}
		r, err := p.Down(ctx)
		if err != nil {
			return nil, err
		}
		return []*goose.MigrationResult{r}, nil
	})
}

// run gives fn a provider whose only session holds the migration lock. fresh says that no migration
// was ever applied here.
func run(ctx context.Context, cfg *pgx.ConnConfig, which Database,
	fn func(p *goose.Provider, fresh bool) ([]*goose.MigrationResult, error),
) ([]Result, error) {
	files, err := which.files()
	if err != nil {
		return nil, err
	}
	d := open(cfg, which)
	defer func() { _ = d.Close() }()
	fresh, err := ensureTable(ctx, d)
	if err != nil {
		return nil, translate(err, which, "")
	}
	p, err := goose.NewProvider(goose.DialectPostgres, d, files,
		goose.WithTableName(Table),
		goose.WithDisableGlobalRegistry(true),
		// two branches may each have added one, and statements only add: no reason to refuse the lower
		goose.WithAllowOutofOrder(true),
		goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return nil, fault.New(fault.Internal, "the embedded migrations of the %s database are unusable", which).Because(err)
	}
	done, err := fn(p, fresh)
	if pe, ok := errors.AsType[*goose.PartialError](err); ok {
		return results(pe.Applied), translate(pe.Err, which, path.Base(pe.Failed.Source.Path))
	}
	if errors.Is(err, goose.ErrNoNextVersion) {
		return nil, nil
	}
	if errors.Is(err, goose.ErrVersionNotFound) {
		return nil, fault.New(fault.Database, "the last migration of the %s database is not known to this cxgctl", which).
			WithHint("use the newer cxgctl that applied it; see which with: cxgctl migrate status").Because(err)
	}
	return results(done), translate(err, which, "")
}

func results(in []*goose.MigrationResult) []Result {
	out := make([]Result, len(in))
	for i, r := range in {
		out[i] = Result{r.Source.Version, path.Base(r.Source.Path), r.Direction, r.Duration}
	}
	return out
}

// ensureTable creates the version table where it is missing, and says whether it was. goose would do
// so itself, but hides a refusal behind three retries of a second each.
func ensureTable(ctx context.Context, d *sql.DB) (fresh bool, err error) {
	tx, err := d.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	if err := tx.QueryRowContext(ctx, `SELECT to_regclass($1) IS NULL`, Table).Scan(&fresh); err != nil || !fresh {
		return false, err
	}
	store, err := database.NewStore(database.DialectPostgres, Table)
	if err != nil {
		return false, err
	}
	if err := store.CreateVersionTable(ctx, tx); err != nil {
		return false, err
	}
	// goose's own mark of a table in use
	if err := store.Insert(ctx, tx, database.InsertRequest{Version: 0}); err != nil {
		return false, err
	}
	return true, tx.Commit()
}

// Status lists the migrations in order of version. It changes nothing, takes no lock, and creates no
// version table.
func Status(ctx context.Context, cfg *pgx.ConnConfig, which Database) ([]Step, error) {
	steps, err := known(which)
	if err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, translate(err, which, "")
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var applied []Step
	err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		var exists bool
		if err := tx.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, Table).Scan(&exists); err != nil || !exists {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT version_id, tstamp AT TIME ZONE 'UTC'
  FROM `+Table+`
 WHERE version_id > 0 AND is_applied
 ORDER BY version_id`)
		if err != nil {
			return err
		}
		applied, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (Step, error) {
			s := Step{Applied: true}
			err := r.Scan(&s.Version, &s.AppliedAt)
			s.AppliedAt = s.AppliedAt.UTC()
			return s, err
		})
		return err
	})
	if err != nil {
		return nil, translate(err, which, "")
	}
	return merge(steps, applied), nil
}

// merge marks the known steps that are applied and adds the applied ones that are not known.
func merge(steps, applied []Step) []Step {
	byVersion := func(s Step, v int64) int { return cmp.Compare(s.Version, v) }
	for _, a := range applied {
		i, found := slices.BinarySearchFunc(steps, a.Version, byVersion)
		if found {
			steps[i].Applied, steps[i].AppliedAt = true, a.AppliedAt
		} else {
			steps = slices.Insert(steps, i, a)
		}
	}
	return steps
}

// known lists the embedded migrations in order of version.
func known(which Database) ([]Step, error) {
	names, err := which.names()
	if err != nil {
		return nil, err
	}
	steps := make([]Step, len(names))
	for i, name := range names {
		v, err := goose.NumericComponent(name)
		if err != nil {
			return nil, fault.New(fault.Internal, "the embedded migration %s has no version", name).Because(err)
		}
		steps[i] = Step{Version: v, Name: name}
	}
	slices.SortFunc(steps, func(a, b Step) int { return cmp.Compare(a.Version, b.Version) })
	return steps, nil
}

// Hash returns the SHA-256, in hex, of the database's embedded migrations, names included: a test
// template that was built from the same ones bears the same hash. An unknown database has the hash
// of nothing.
func Hash(which Database) string {
	h := sha256.New()
	files, err := which.files()
	if err != nil {
		return hex.EncodeToString(h.Sum(nil))
	}
	names, _ := which.names() // names of embedded files, which files has just found
	for _, name := range names {
		text, _ := fs.ReadFile(files, name)
		fmt.Fprintf(h, "%s\x00%d\x00", name, len(text))
		h.Write(text)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (which Database) files() (fs.FS, error) {
	switch which {
	case Manager:
		return fs.Sub(migrations.Manager, "manager")
	case Tenants:
		return fs.Sub(migrations.Tenant, "tenant")
	}
	return nil, fault.New(fault.Usage, "unknown database %q", string(which)).
		WithHint("it is %s or %s", Manager, Tenants)
}

func (which Database) names() ([]string, error) {
	files, err := which.files()
	if err != nil {
		return nil, err
	}
	return fs.Glob(files, "*.sql") // in order of name
}

// translate says which database, and which migration if any, err is about. Everything that a server
// may answer to a migration is a DATABASE_ERROR here: a unique violation inside one is no value of
// the user's that is taken.
func translate(err error, which Database, file string) error {
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	f := fault.From(db.Translate(err))
	if f.Code != fault.Interrupted {
		f.Code = fault.Database
	}
	f.With("database", string(which))
	if file == "" {
		f.Message = fmt.Sprintf("migrations of the %s database: %s", which, f.Message)
		return f
	}
	f.Message = fmt.Sprintf("migration %s of the %s database failed: %s", file, which, f.Message)
	return f.With("migration", file).
		WithHint("it was rolled back, those before it stay; mend the cause and run it again")
}
