package devdb

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
	"github.com/jackc/pgx/v5"

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
host all all 127.0.0.1/32 scram-sha-256
`

// connectLimit limits connecting over the socket, which either takes milliseconds or fails.
const connectLimit = 10 * time.Second

// initdb creates the cluster in a temporary directory and renames it, so that an interrupted call does not leave an
// incomplete cluster.
func (c cluster) initdb(ctx context.Context, bins binaries) error {
	dir := c.newDataDir()
	if err := os.RemoveAll(dir); err != nil {
		return unusable(c.dir, err)
	}
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

// setup creates missing databases, and the password if the server listens on a port.
func (c cluster) setup(ctx context.Context, s Status) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	conn, err := connect(ctx, s)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	have, err := list(ctx, conn)
	if err != nil {
		return refused(ctx, s, err)
	}
	for _, name := range databases {
		if !slices.Contains(have, name) {
			if _, err := conn.Exec(ctx, "CREATE DATABASE "+name); err != nil {
				return refused(ctx, s, err)
			}
		}
	}
	if s.Port == 0 {
		return nil
	}
	password, err := c.password()
	if err != nil {
		return err
	}
	// Utility statements do not take parameters. The server only stores the verifier.
	quoted := "'" + strings.ReplaceAll(password, "'", "''") + "'"
	if _, err := conn.Exec(ctx, "ALTER ROLE "+superuser+" PASSWORD "+quoted); err != nil {
		return refused(ctx, s, err)
	}
	return nil
}

// password returns the password of the TCP port, and creates it on first use.
func (c cluster) password() (string, error) {
	b, err := os.ReadFile(c.passwordFile())
	if password := strings.TrimSpace(string(b)); password != "" {
		return password, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", unusable(c.dir, err)
	}
	password := rand.Text()
	if err := renameio.WriteFile(c.passwordFile(), []byte(password+"\n"), 0o600, renameio.WithTempDir(c.dir)); err != nil {
		return "", unusable(c.dir, err)
	}
	return password, nil
}

// existing returns those of our databases that exist on the running server.
func existing(ctx context.Context, s Status) ([]string, error) {
	conn, err := connect(ctx, s)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(ctx) }()
	names, err := list(ctx, conn)
	if err != nil {
		return nil, refused(ctx, s, err)
	}
	return names, nil
}

func list(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	rows, err := conn.Query(ctx, "SELECT datname FROM pg_database WHERE datname = ANY($1) ORDER BY datname", databases)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func connect(ctx context.Context, s Status) (*pgx.Conn, error) {
	dialing, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	cfg, err := pgx.ParseConfig(s.DSN("postgres"))
	if err != nil {
		return nil, refused(ctx, s, err)
	}
	cfg.RuntimeParams["search_path"] = "pg_catalog, pg_temp"
	conn, err := pgx.ConnectConfig(dialing, cfg)
	if err != nil {
		return nil, refused(ctx, s, err)
	}
	return conn, nil
}

// refused returns the error for a running server that does not work as expected.
func refused(ctx context.Context, s Status, err error) error {
	if ctx.Err() != nil {
		return interrupted(ctx, "connecting to the dev database")
	}
	return fault.New(fault.Database, "the dev database does not respond correctly on its socket in %s: %s", s.SocketDir, reason(err)).
		WithHint("see its log: %s", s.LogFile).Because(err)
}
