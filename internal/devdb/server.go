package devdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cxgctl/cxgctl/internal/fault"
)

const (
	pollEvery = 5 * time.Millisecond
	// startLimit applies to a start without another deadline; recovery of a large database takes long.
	startLimit = 2 * time.Minute
	// orphanLimit is how long the backends of a killed server may take to exit.
	orphanLimit = 15 * time.Second
)

// postmaster is the content of the server's pid file. Its lines are documented in PostgreSQL's pidfile.h.
type postmaster struct {
	pid       int
	startedAt time.Time
	port      string
	socketDir string
	ready     bool
}

// readPID reads the data directory's pid file. The process may be dead.
func (c cluster) readPID() (postmaster, bool) {
	b, err := os.ReadFile(filepath.Join(c.dataDir(), "postmaster.pid"))
	if err != nil {
		return postmaster{}, false
	}
	line := append(strings.Split(string(b), "\n"), make([]string, 8)...)
	pid, err := strconv.Atoi(strings.TrimSpace(line[0]))
	if err != nil || pid <= 1 {
		return postmaster{}, false
	}
	started, _ := strconv.ParseInt(line[2], 10, 64) // missing for an instant at the start
	return postmaster{
		pid: pid, startedAt: time.Unix(started, 0), port: line[3], socketDir: line[4], ready: strings.TrimSpace(line[7]) == "ready",
	}, true
}

// running returns the server of our data directory if it listens on its socket. A stale pid file, whose pid may belong
// to another program or a zombie, is ignored.
func (c cluster) running() (postmaster, bool) {
	p, ok := c.readPID()
	if !ok {
		return postmaster{}, false
	}
	conn, err := net.Dial("unix", filepath.Join(p.socketDir, ".s.PGSQL."+p.port))
	if err != nil {
		return postmaster{}, false
	}
	_ = conn.Close()
	return p, true
}

// start returns the server once it accepts connections, and starts it if necessary. If ctx is cancelled, the server
// keeps starting, and the next call waits for it.
func (c cluster) start(ctx context.Context, st state) (postmaster, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for begin := time.Now(); ; {
		p, ok := c.running()
		if ok && p.ready {
			return p, nil
		}
		if !ok { // else another process is starting or stopping it
			said, err := c.pgCtlStart(ctx, st.BinDir)
			if err == nil {
				continue
			}
			if _, ok := c.running(); ok && ctx.Err() == nil {
				continue // another process started it first, and ours exited
			}
			// Backends of a killed server hold its shared memory until they exit.
			orphans := strings.Contains(said, "shared memory block") && time.Since(begin) < orphanLimit
			if ctx.Err() == nil && !orphans {
				return postmaster{}, fault.New(fault.Database, "PostgreSQL did not start: %s", complaint(said)).
					WithHint("see its log: %s", c.logFile()).Because(err)
			}
		}
		if !pause(ctx, pollEvery) {
			return postmaster{}, interrupted(ctx, "waiting for PostgreSQL to start")
		}
	}
}

// pgCtlStart runs pg_ctl start, and returns what it and the server have logged meanwhile. The server runs in its own
// session, so that it survives us and does not receive Ctrl-C.
func (c cluster) pgCtlStart(ctx context.Context, binDir string) (said string, err error) {
	socketDir, err := c.socketDir()
	if err != nil {
		return "", err
	}
	options := "-c unix_socket_directories=" + socketDir +
		" -c unix_socket_permissions=0700 -c listen_addresses= -c port=" + socketPort
	for _, name := range slices.Sorted(maps.Keys(c.Settings)) {
		options += " -c " + name + "=" + c.Settings[name]
	}
	if err := c.disownPID(socketDir); err != nil {
		return "", err
	}
	log, err := os.OpenFile(c.logFile(), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return "", unusable(c.dir, err)
	}
	defer func() { _ = log.Close() }()
	offset, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return "", unusable(c.dir, err)
	}
	cmd := c.command(ctx, filepath.Join(binDir, "pg_ctl"), "start", "-s", "-w", "-t", strconv.Itoa(int(startLimit.Seconds())),
		"-D", c.dataDir(), "-o", options)
	cmd.Stdout, cmd.Stderr = log, log
	err = cmd.Run()
	b, _ := io.ReadAll(io.NewSectionReader(log, offset, 1<<16)) // an incomplete log is better than none
	return string(b), err
}

// disownPID replaces the pid in a stale pid file if it now belongs to a zombie or another program, which PostgreSQL
// would mistake for a running server. It ignores the pid of pg_ctl's parent, which is ours, but still uses the file to
// check that orphans do not hold the shared memory. The socket's lock file repeats the pid.
func (c cluster) disownPID(socketDir string) error {
	p, ok := c.readPID()
	if !ok || errors.Is(syscall.Kill(p.pid, 0), syscall.ESRCH) {
		return nil
	}
	locks, _ := filepath.Glob(filepath.Join(socketDir, ".s.PGSQL.*.lock"))
	for _, lock := range locks {
		_ = os.Remove(lock) // if that fails, PostgreSQL reports it
	}
	path := filepath.Join(c.dataDir(), "postmaster.pid")
	b, err := os.ReadFile(path)
	if err != nil {
		return unusable(c.dir, err)
	}
	_, rest, _ := bytes.Cut(b, []byte("\n"))
	if err := os.WriteFile(path, fmt.Appendf(nil, "%d\n%s", os.Getpid(), rest), 0o600); err != nil {
		return unusable(c.dir, err)
	}
	return nil
}

// stop signals the server, if it runs, and waits until it has exited.
func (c cluster) stop(ctx context.Context, sig syscall.Signal) error {
	p, running := c.running()
	if !running {
		return nil
	}
	if err := syscall.Kill(p.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fault.New(fault.Database, "cannot stop the PostgreSQL server with pid %d: %s", p.pid, err).Because(err)
	}
	for { // the pid file is removed at the end
		if q, ok := c.readPID(); !ok || q.pid != p.pid || errors.Is(syscall.Kill(p.pid, 0), syscall.ESRCH) {
			return nil
		}
		if !pause(ctx, pollEvery) {
			return interrupted(ctx, "waiting for PostgreSQL to stop")
		}
	}
}

// pause waits for d and returns false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// complaint returns the line of a log that explains a failure: the last fatal error, or else the last line.
func complaint(log string) string {
	why := lastLine(log)
	for line := range strings.Lines(log) {
		for _, mark := range []string{"FATAL:", "PANIC:", "error:"} {
			if _, text, ok := strings.Cut(line, mark); ok {
				why = strings.TrimSpace(text)
			}
		}
	}
	if why == "" {
		return "it logged nothing"
	}
	return why
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return strings.TrimSpace(text[strings.LastIndex(text, "\n")+1:])
}
