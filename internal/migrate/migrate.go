// Package migrate applies the embedded migrations and adopts databases created by other software: it adds what is
// missing and leaves the rest alone. goose keeps the order and the versions (public.cxgctl_migrations). This package
// decides which statements of a file to run, by looking at the database, and records what they added
// (public.cxgctl_added), so that nothing else is ever removed. Concurrent runs wait for each other.
package migrate

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// Database selects one of the two schemas.
type Database string

// The databases of a CXG installation.
const (
	Manager Database = "manager"
	Tenants Database = "tenants"
)

// Databases lists the databases in the order in which they are migrated.
var Databases = []Database{Manager, Tenants}

// Table records the migrations applied to a database.
const Table = "public.cxgctl_migrations"

// Step is one migration and its state in the database.
type Step struct {
	Version   int64
	Name      string // file name; "" for a migration unknown to this cxgctl
	Optional  string // name of an optional migration, or ""
	Applied   bool
	AppliedAt time.Time // UTC; zero if not applied
}

// State returns the state in words: "applied", "pending", "optional: --with NAME" for an optional migration that is
// not applied, or "unknown" for one applied by a newer cxgctl.
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

// Up is UpWith without optional migrations.
func Up(ctx context.Context, cfg *pgx.ConnConfig, which Database, building ...func(index string)) ([]Step, error) {
	return UpWith(ctx, cfg, which, nil, building...)
}

// UpWith applies all pending migrations and the optional ones in with, in order, each in its own transaction, and
// returns those applied. It only adds what is missing; see PlanUp. Indexes of tables with rows are built last and
// CONCURRENTLY, and built again if an earlier run was interrupted.
//
// A database with a migration unknown to this cxgctl is refused with a DATABASE_ERROR. UpWith waits for another run
// until ctx ends, and returns BUSY at ctx's deadline. A migration that fails, or that waits for a lock for more than
// five seconds, is a DATABASE_ERROR that names its file; earlier migrations stay applied and are returned.
//
// building, if given, is called before each index of a table with rows is built, which can take long.
func UpWith(ctx context.Context, cfg *pgx.ConnConfig, which Database, with []string, building ...func(index string)) ([]Step, error) {
	if err := checkOptions(with); err != nil {
		return nil, err
	}
	r, err := begin(ctx, cfg, which, with, false)
	if err != nil {
		return nil, err
	}
	defer r.end()
	if _, err := planned(ctx, r.db, r.list, r.state); err != nil {
		return nil, translate(err, which, "")
	}
	done, err := r.outcome(r.provider.Up(ctx))
	state, serr := readState(context.WithoutCancel(ctx), r.db)
	if err == nil {
		err = translate(serr, which, "")
	}
	for i, d := range done {
		if serr == nil {
			done[i].AppliedAt = state.applied[d.Version]
		}
	}
	if err != nil {
		return done, err
	}
	if err := finish(ctx, r.db, r.list, state.unfinished, building); err != nil {
		return done, fault.From(translate(err, which, "")).
			WithHint("everything else is done; build the index with: cxgctl migrate up")
	}
	return done, nil
}

// Down reverts the last applied migration, or the optional one of this name, and returns it as not applied, or nothing
// if none was applied. It only removes objects recorded by Up. If that would lose data, it returns a CONFLICT that lists the data,
// unless discard is set. It waits and fails as Up does.
func Down(ctx context.Context, cfg *pgx.ConnConfig, which Database, optional string, discard bool) ([]Step, error) {
	if optional != "" {
		if err := checkOptions([]string{optional}); err != nil {
			return nil, err
		}
	}
	r, err := begin(ctx, cfg, which, nil, discard)
	if err != nil {
		return nil, err
	}
	defer r.end()
	var one *goose.MigrationResult
	if optional == "" {
		one, err = r.provider.Down(ctx)
	} else {
		i := slices.IndexFunc(r.list, func(m *migration) bool { return m.optional == optional })
		if i < 0 {
			return nil, nil
		}
		one, err = r.provider.ApplyVersion(ctx, r.list[i].version, false)
	}
	var done []Step
	if !errors.Is(err, goose.ErrNoNextVersion) {
		if done, err = r.outcome([]*goose.MigrationResult{one}, err); err != nil {
			return nil, err
		}
	}
	return done, translate(forget(ctx, r.db), which, "")
}

// run is a session that holds the migration lock, with a goose provider that uses it.
type run struct {
	which    Database
	list     []*migration
	state    *state
	db       *sql.DB
	provider *goose.Provider
}

func begin(ctx context.Context, cfg *pgx.ConnConfig, which Database, with []string, discard bool) (_ *run, err error) {
	list, err := load(which)
	if err != nil {
		return nil, err
	}
	r := &run{which: which, db: open(cfg, which)}
	defer func() {
		if err != nil {
			err = translate(err, which, "")
			r.end()
		}
	}()
	if err := ensureTables(ctx, r.db); err != nil {
		return nil, err
	}
	if r.state, err = readState(ctx, r.db); err != nil {
		return nil, err
	}
	if err := newer(which, list, r.state); err != nil {
		return nil, err
	}
	list = selected(list, with, r.state)
	r.list = list
	// Go migrations, because the effect of a file depends on the database.
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
		// two branches may each add a migration; since statements only add, the lower one can still be applied
		goose.WithAllowOutofOrder(true),
		goose.WithLogger(goose.NopLogger()))
	if err != nil {
		err = fault.New(fault.Internal, "the embedded migrations of the %s database are unusable", which).Because(err)
	}
	return r, err
}

func (r *run) end() { _ = r.db.Close() } // statements have reported their errors

// outcome converts the provider's results and error.
func (r *run) outcome(done []*goose.MigrationResult, err error) ([]Step, error) {
	if pe, ok := errors.AsType[*goose.PartialError](err); ok {
		return r.results(pe.Applied), translate(pe.Err, r.which, r.name(pe.Failed.Source.Version))
	}
	if err != nil {
		return nil, translate(err, r.which, "")
	}
	return r.results(done), nil
}

func (r *run) results(in []*goose.MigrationResult) []Step {
	out := make([]Step, len(in))
	for i, x := range in {
		out[i] = Step{Version: x.Source.Version, Name: r.name(x.Source.Version), Applied: x.Direction == "up"}
	}
	return out
}

func (r *run) name(version int64) string {
	i := slices.IndexFunc(r.list, func(m *migration) bool { return m.version == version })
	return r.list[i].name // goose only runs migrations of the list
}

// StatusIn lists the migrations by version. It changes nothing, takes no lock, and does not create the version table.
// The session may go through a pooler.
func StatusIn(ctx context.Context, r db.Reader, which Database) ([]Step, error) {
	list, err := load(which)
	if err != nil {
		return nil, err
	}
	var exists bool
	if err := r.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, Table).Scan(&exists); err != nil || !exists {
		return steps(list, nil), translate(err, which, "")
	}
	applied := map[int64]time.Time{}
	rows, err := r.Query(ctx, readApplied)
	if err == nil {
		var v int64
		var at time.Time
		_, err = pgx.ForEachRow(rows, []any{&v, &at}, func() error {
			applied[v] = at.UTC()
			return nil
		})
	}
	if err != nil {
		return nil, translate(err, which, "")
	}
	return steps(list, applied), nil
}

// steps lists the embedded migrations and applied unknown ones by version.
func steps(list []*migration, applied map[int64]time.Time) []Step {
	unknown := maps.Clone(applied)
	var all []Step
	for _, m := range list {
		at, done := applied[m.version]
		all = append(all, Step{Version: m.version, Name: m.name, Optional: m.optional, Applied: done, AppliedAt: at})
		delete(unknown, m.version)
	}
	for v, at := range unknown {
		all = append(all, Step{Version: v, Applied: true, AppliedAt: at})
	}
	slices.SortFunc(all, func(a, b Step) int { return cmp.Compare(a.Version, b.Version) })
	return all
}

// Hash identifies the database's embedded migrations, for test templates built from them.
func Hash(which Database) string {
	h := sha256.New()
	list, _ := load(which) // the files are embedded
	for _, m := range list {
		_, _ = fmt.Fprintf(h, "%s %d\n", m.name, len(m.statements))
		for _, s := range m.statements {
			_, _ = fmt.Fprintf(h, "%d %s\n", len(s.text), s.text)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// translate adds the database, and the migration if any, to an error. Every server error during a migration becomes a
// DATABASE_ERROR: a unique violation, for example, is not about a value that the user entered. A failed connection before
// the first migration is left to db.Connected.
func translate(err error, which Database, file string) error {
	if err == nil {
		return nil
	}
	err = db.Direct(err)
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	if _, unconnected := errors.AsType[*pgconn.ConnectError](err); unconnected && file == "" {
		return err
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
	if state, _ := db.State(err); state == db.LockNotAvailable { // after lockTimeout
		return f.WithHint("it was rolled back, earlier ones stay applied; find the blocking session with pg_blocking_pids(), and run it again")
	}
	return f.WithHint("it was rolled back, earlier ones stay applied; fix the cause and run it again")
}
