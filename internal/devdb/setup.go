package devdb

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// settings are appended to the new cluster's postgresql.conf, where users may change them. Durability is as in
// production, so that measurements are realistic.
const settings = `
# Set by cxgctl dev.
shared_buffers = 256MB
max_wal_size = 4GB
password_encryption = scram-sha-256
timezone = 'UTC'
log_timezone = 'UTC'
`

// access replaces the cluster's pg_hba.conf. The mode of the socket's directory protects it.
const access = `# Set by cxgctl dev.
local all all trust
local replication all trust
`

// connectLimit limits connecting over the socket and creating the databases.
const connectLimit = time.Minute

// initdb creates the cluster in a temporary directory and renames it, so that an interrupted call does not leave an
// incomplete cluster. The directory is this process's own, because the initdb of a killed call may still be running.
func (c cluster) initdb(ctx context.Context, bins binaries) error {
	for _, path := range c.leftovers() {
		_ = os.RemoveAll(path) // the next call tries again
	}
	dir := filepath.Join(c.dir, "data.new."+strconv.Itoa(os.Getpid()))
	if err := c.account.own(dir); err != nil {
		return unusable(c.dir, err)
	}
	locale := "C.UTF-8"
	if runtime.GOOS == "darwin" {
		locale = "C" // older releases of macOS lack C.UTF-8
	}
	cmd := c.command(ctx, filepath.Join(bins.dir, "initdb"), "-D", dir, "-U", superuser, "-A", "trust",
		"-E", "UTF8", "--locale="+locale, "--no-sync")
	// initdb runs postgres; stop both with us
	cmd.SysProcAttr.Setpgid = true
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	if err == nil {
		err = configure(dir)
	}
	if err == nil {
		err = os.Rename(dir, c.dataDir())
	}
	if err == nil {
		return nil
	}
	_ = os.RemoveAll(dir) // otherwise the next call removes it
	if ctx.Err() != nil {
		return interrupted(ctx, "creating the dev database")
	}
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return unusable(c.dir, err)
	}
	return fault.New(fault.Database, "initdb failed: %s", complaint(string(out))).Because(err)
}

func configure(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, "pg_hba.conf"), []byte(access), 0o600); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, "postgresql.conf"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(settings)
	return errors.Join(err, f.Close())
}

func (c cluster) createDatabases(ctx context.Context, s Status) (err error) {
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	defer func() {
		if ctx.Err() != nil {
			err = interrupted(ctx, "connecting to the dev database")
		} else if err != nil {
			err = fault.New(fault.Database, "the dev database does not respond correctly on its socket in %s: %s", s.SocketDir, reason(err)).
				WithHint("see its log: %s", s.LogFile).Because(err)
		}
	}()
	conn, err := pgx.Connect(ctx, s.DSN("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, name := range databases {
		_, err := conn.Exec(ctx, "CREATE DATABASE "+name)
		const duplicateDatabase = "42P04"
		if pe, ok := errors.AsType[*pgconn.PgError](err); err != nil && (!ok || pe.Code != duplicateDatabase) {
			return err
		}
	}
	return nil
}
