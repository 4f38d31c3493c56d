package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/db"
)

// Scripts run thousands of commands. The test process runs them itself, since starting as many processes takes too long:
// those on a line of a script directly, and those in shell scripts through a small client on PATH that is called cxgctl.
// Tests of kills, terminals and concurrency start real processes (process_test.go).

// host runs the commands of scripts.
type host struct {
	dir    string // holds the client and the socket
	binary string // runs a command as a separate process: the test binary
	*net.UnixListener

	mu   sync.Mutex
	lent map[db.Options]*db.DB
}

// lend reuses the connections of earlier commands, like a pooler: starting a server process takes longer than most
// commands.
func (h *host) lend(ctx context.Context, o db.Options) (*db.DB, error) {
	o.Program = "" // commands share sessions
	h.mu.Lock()
	d := h.lent[o]
	h.mu.Unlock()
	if d != nil {
		return d, nil
	}
	d, err := db.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if first := h.lent[o]; first != nil { // opened by another command meanwhile
		d.Close()
		return first, nil
	}
	h.lent[o] = d
	return d, nil
}

// recall closes the connections to the databases of a pair. A script does so after it changes tables.
func (h *host) recall(manager string) {
	if manager == "" {
		return // named in a profile; connections of other scripts stay open
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for o, d := range h.lent {
		if strings.Contains(o.URL, database(manager)) {
			d.Close()
			delete(h.lent, o)
		}
	}
}

// database returns the name of the database in a connection string of dbtest. Scripts own only such databases.
func database(dsn string) string {
	_, rest, found := strings.Cut(dsn, "/test_")
	if !found {
		return dsn
	}
	name, _, _ := strings.Cut(rest, "?")
	return "/test_" + name
}

// running is the host of this process.
var running *host

func newHost() (*host, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "cxgctl-host")
	if err != nil {
		return nil, err
	}
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "cxgctl"), "./testdata/client")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "socket"), Net: "unix"})
	return &host{dir: dir, binary: binary, UnixListener: l, lent: map[db.Options]*db.DB{}}, err
}

// environment is what makes a script's cxgctl a client of the host.
func (h *host) environment() map[string]string {
	return map[string]string{
		"PATH":             h.dir + string(filepath.ListSeparator) + os.Getenv("PATH"),
		"CXGCTL_TEST_HOST": h.Addr().String(), "CXGCTL_TEST_BINARY": h.binary,
	}
}

func (h *host) serve() {
	for {
		conn, err := h.AcceptUnix()
		if err != nil {
			return
		}
		go func() {
			status, err := h.answer(conn)
			if err != nil {
				fmt.Fprintln(os.Stderr, "the scripts' host:", err)
				status = 125
			}
			_, _ = conn.Write([]byte{byte(status)})
			_ = conn.Close()
		}()
	}
}

// answer runs one client's command and returns its exit code.
func (h *host) answer(conn *net.UnixConn) (status int, err error) {
	rights := make([]byte, unix.CmsgSpace(3*4))
	_, n, _, _, err := conn.ReadMsgUnix(make([]byte, 1), rights)
	if err != nil {
		return 0, err
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil || len(messages) != 1 {
		return 0, errors.Join(errors.New("no streams came"), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return 0, err
	}
	var streams []*os.File
	for i, fd := range fds {
		unix.CloseOnExec(fd)
		f := os.NewFile(uintptr(fd), []string{"/dev/stdin", "/dev/stdout", "/dev/stderr"}[i])
		defer func() { _ = f.Close() }()
		streams = append(streams, f)
	}
	in := bufio.NewReader(conn)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return 0, err
	}
	var want struct {
		Dir       string
		Args, Env []string
	}
	if err := json.Unmarshal(line, &want); err != nil {
		return 0, err
	}
	env := map[string]string{}
	for _, pair := range want.Env {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	go func() {
		if s, err := in.ReadByte(); err == nil {
			cancel(stopped(syscall.Signal(s)))
		}
	}()
	return h.run(want.Dir, &cmdutil.Env{
		OpenDB: h.lend, Context: ctx, Args: want.Args, Stdin: streams[0], Stdout: streams[1], Stderr: streams[2],
		Getenv: func(name string) string { return env[name] },
	})
}

// run runs a command in a folder, on lent sessions, and returns its exit code.
func (h *host) run(dir string, env *cmdutil.Env) (status int, err error) {
	if len(env.Args) > 0 && env.Args[0] == "migrate" {
		defer h.recall(env.Getenv("CXGCTL_MANAGER_DATABASE_URL"))
	}
	env.Started = time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The thread has its own working folder. It is never unlocked, so it ends with this goroutine.
		runtime.LockOSThread()
		if err = errors.Join(unix.Unshare(unix.CLONE_FS), unix.Chdir(dir)); err == nil {
			status = runAndForget(env)
		}
	}()
	<-done
	return status, err
}
