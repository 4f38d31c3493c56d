// Package migrate brings a database to the schema that this cxgctl knows, by the embedded migrations,
// and adopts one that other software made: it adds what is missing there and leaves the rest alone.
// goose keeps the order and the versions (public.cxgctl_migrations); which of a file's statements run
// is decided here, by looking at the database, and what they added is recorded (public.cxgctl_added),
// so that only that is ever taken back. Runs wait for each other.
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
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"

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
	Optional  string // what it is asked for by, for one that not every database has; else ""
	Applied   bool
	AppliedAt time.Time // UTC; zero when not applied
}

// State says in words where a step is: "applied", "pending", "optional: --with NAME" for one that waits to be
// asked for, or "unknown" for one that a newer cxgctl applied.
func (s Step) State() string {
	switch {
	case s.Name == "":
		return "unknown"
	case s.Applied:
		return "applied"
	case s.Optional != "":
		return "optional: --with " + s.Optional
	}
	return "pending"
}

// Result is one migration that a run carried out.
type Result struct {
	Version   int64
	Name      string // the file's name
	Direction string // "up" or "down"
	Duration  time.Duration
	AppliedAt time.Time // UTC; zero after "down"
}

// Up is UpWith without anything optional.
func Up(ctx context.Context, cfg *pgx.ConnConfig, which Database, building ...func(index string)) ([]Result, error) {
	return UpWith(ctx, cfg, which, nil, building...)
}

// UpWith applies everything that is pending, and the optional migrations that with names, in order, each migration in a transaction of its own, and
// returns what it applied. A database that has a migration which this cxgctl does not know is refused with a
// DATABASE_ERROR. It only adds, and only what is missing: PlanUp says what that is in a
// database that other software made. Indexes of tables with rows are built last and CONCURRENTLY, and
// anew where an earlier run was interrupted. A run that finds another under way waits for it until ctx
// ends (BUSY when ctx's deadline passes meanwhile). A migration that fails, or that waits for a lock
// for more than five seconds, is a DATABASE_ERROR naming its file; those before it stay, and are
// returned. building, if given, is called before each index of a table with rows: from then on the run
// takes as long as the tables are large.
func UpWith(ctx context.Context, cfg *pgx.ConnConfig, which Database, with []string, building ...func(index string)) ([]Result, error) {
	if err := checkOptions(with); err != nil {
		return nil, err
	}
	r, err := begin(ctx, cfg, which, with, false)
	if err != nil {
		return nil, err
	}
	defer r.end()
	done, err := r.outcome(r.provider.Up(ctx))
	if terr := readTimes(context.WithoutCancel(ctx), r.db, done); err == nil {
		err = translate(terr, which, "")
	}
	if err != nil {
		return done, err
	}
	if err := finish(ctx, r.db, r.list, building); err != nil {
		return done, fault.From(translate(err, which, "")).
			WithHint("everything else is done; run cxgctl migrate up again, and the index is built anew")
	}
	return done, nil
}

// Down takes back the migration that was applied last and returns it; nothing where none is applied.
// Only what is recorded as added by Up goes. Where data would go with it, that is a CONFLICT which
// names it, unless discard says that it may. It waits and fails as Up does.
func Down(ctx context.Context, cfg *pgx.ConnConfig, which Database, discard bool) ([]Result, error) {
	return down(ctx, cfg, which, "", discard)
}

// DownOf takes back one optional migration, by its name, wherever it stands in their order; nothing where it
// is not applied. Otherwise it is as Down.
func DownOf(ctx context.Context, cfg *pgx.ConnConfig, which Database, name string, discard bool) ([]Result, error) {
	if err := checkOptions([]string{name}); err != nil {
		return nil, err
	}
	return down(ctx, cfg, which, name, discard)
}

func down(ctx context.Context, cfg *pgx.ConnConfig, which Database, name string, discard bool) ([]Result, error) {
	r, err := begin(ctx, cfg, which, nil, discard)
	if err != nil {
		return nil, err
	}
	defer r.end()
	var list []*goose.MigrationResult
	var one *goose.MigrationResult
	if name == "" {
		one, err = r.provider.Down(ctx)
	} else {
		i := slices.IndexFunc(r.list, func(m *migration) bool { return m.optional == name })
		if i < 0 {
			return nil, nil
		}
		one, err = r.provider.ApplyVersion(ctx, r.list[i].version, false)
	}
	if err == nil {
		list = append(list, one)
	}
	done, err := r.outcome(list, err)
	if err != nil {
		return done, err
	}
	return done, translate(forget(ctx, r.db), which, "")
}

// run is one session, which holds the migration lock, with a provider that works in it.
type run struct {
	which    Database
	list     []*migration
	db       *sql.DB
	provider *goose.Provider
}

func begin(ctx context.Context, cfg *pgx.ConnConfig, which Database, with []string, discard bool) (*run, error) {
	list, err := load(which)
	if err != nil {
		return nil, err
	}
	r := &run{which: which, db: open(cfg, which)}
	if err := ensureTables(ctx, r.db); err != nil {
		r.end()
		return nil, translate(err, which, "")
	}
	state, err := readState(ctx, r.db)
	if err != nil {
		r.end()
		return nil, translate(err, which, "")
	}
	if err := newer(which, list, state.applied); err != nil {
		r.end()
		return nil, err
	}
	list = selected(list, with, state.applied)
	r.list = list
	// Go migrations, since what a file's statements come to depends on the database.
	all := make([]*goose.Migration, len(list))
	for i, m := range list {
		all[i] = goose.NewGoMigration(m.version, &goose.GoFunc{RunTx: m.up}, &goose.GoFunc{
			RunTx: func(ctx context.Context, tx *sql.Tx) error { return m.down(ctx, tx, which, discard) },
		})
	}
	r.provider, err = goose.NewProvider(goose.DialectPostgres, r.db, nil,
		goose.WithGoMigrations(all...),
		goose.WithTableName(Table),
		goose.WithDisableGlobalRegistry(true),
		// two branches may each have added one, and statements only add: no reason to refuse the lower
		goose.WithAllowOutofOrder(true),
		goose.WithLogger(goose.NopLogger()))
	if err != nil {
		r.end()
		return nil, fault.New(fault.Internal, "the embedded migrations of the %s database are unusable", which).Because(err)
	}
	return r, nil
}

func (r *run) end() { _ = r.db.Close() } // what the statements said counts

// outcome tells in this package's terms what the provider did.
func (r *run) outcome(done []*goose.MigrationResult, err error) ([]Result, error) {
	if pe, ok := errors.AsType[*goose.PartialError](err); ok {
		return r.results(pe.Applied), translate(pe.Err, r.which, r.name(pe.Failed.Source.Version))
	}
	if errors.Is(err, goose.ErrNoNextVersion) {
		return nil, nil
	}
	return r.results(done), translate(err, r.which, "")
}

func (r *run) results(in []*goose.MigrationResult) []Result {
	out := make([]Result, len(in))
	for i, x := range in {
		out[i] = Result{Version: x.Source.Version, Name: r.name(x.Source.Version), Direction: x.Direction, Duration: x.Duration}
	}
	return out
}

// name returns the file's name of a version.
func (r *run) name(version int64) string {
	for _, m := range r.list {
		if m.version == version {
			return m.name
		}
	}
	return ""
}

// Status lists the migrations in order of version. It changes nothing, takes no lock, and creates no
// version table.
func Status(ctx context.Context, cfg *pgx.ConnConfig, which Database) ([]Step, error) {
	pinned := cfg.Copy()
	db.Pin(pinned.RuntimeParams)
	conn, err := pgx.ConnectConfig(ctx, pinned)
	if err != nil {
		return nil, translate(err, which, "")
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	return StatusIn(ctx, conn, which)
}

// StatusIn is Status in a session that is there, which a pooler may share.
func StatusIn(ctx context.Context, r db.Reader, which Database) ([]Step, error) {
	steps, err := known(which)
	if err != nil {
		return nil, err
	}
	var exists bool
	if err := r.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, Table).Scan(&exists); err != nil || !exists {
		return steps, translate(err, which, "")
	}
	rows, err := r.Query(ctx, `SELECT version_id, tstamp AT TIME ZONE 'UTC'
  FROM `+Table+`
 WHERE version_id > 0 AND is_applied
 ORDER BY version_id`)
	if err != nil {
		return nil, translate(err, which, "")
	}
	applied, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (Step, error) {
		s := Step{Applied: true}
		err := r.Scan(&s.Version, &s.AppliedAt)
		s.AppliedAt = s.AppliedAt.UTC()
		return s, err
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
	list, err := load(which)
	if err != nil {
		return nil, err
	}
	steps := make([]Step, len(list))
	for i, m := range list {
		steps[i] = Step{Version: m.version, Name: m.name, Optional: m.optional}
	}
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
		_, _ = fmt.Fprintf(h, "%s\x00%d\x00", name, len(text))
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
	err = db.Direct(err)
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	f := fault.From(db.Translate(err))
	if f.Code != fault.Interrupted {
		f.Code = fault.Database
	}
	f.With("database", string(which))
	about := ""
	if o, ok := errors.AsType[*failure](err); ok {
		about = o.object + ": "
		f.With("object", o.object)
	}
	if file == "" {
		f.Message = fmt.Sprintf("migrations of the %s database: %s%s", which, about, f.Message)
		return f
	}
	f.Message = fmt.Sprintf("migration %s of the %s database failed: %s%s", file, which, about, f.Message)
	f.With("migration", file)
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok && pe.Code == lockNotAvailable {
		return f.WithHint("it was rolled back, those before it stay; see who holds the table with pg_blocking_pids(), and run it again")
	}
	return f.WithHint("it was rolled back, those before it stay; mend the cause and run it again")
}

// lockNotAvailable is what a statement ends with that has waited for lockTimeout.
const lockNotAvailable = "55P03"
