package dbtest

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// daemonLimit bounds the start of a daemon.
const daemonLimit = 30 * time.Second

// daemon is a server that a test starts for itself. It ends with the test, and with this process however that
// ends.
type daemon struct {
	cmd   *exec.Cmd
	ended chan struct{}
	log   *notes
}

// notes are what a daemon says.
type notes struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b.Write(p)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b.String()
}

// startDaemon starts a program as an account, nil for our own.
func startDaemon(tb testing.TB, account *syscall.Credential, program string, args ...string) (*daemon, error) {
	d := &daemon{cmd: exec.Command(program, args...), ended: make(chan struct{}), log: &notes{}}
	d.cmd.Dir, d.cmd.Stdout, d.cmd.Stderr = "/", d.log, d.log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: account, Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		// The signal comes when the thread ends that started the program, so that one waits with it.
		runtime.LockOSThread()
		err := d.cmd.Start()
		started <- err
		if err == nil {
			_ = d.cmd.Wait() // its log says more
		}
		close(d.ended)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	tb.Cleanup(func() { d.stop(syscall.SIGKILL) })
	return d, nil
}

// stop sends a signal and waits for the end.
func (d *daemon) stop(sig syscall.Signal) {
	_ = d.cmd.Process.Signal(sig) // it may have ended
	<-d.ended
}

// answers waits until the daemon takes connections.
func (d *daemon) answers(dsn string) error {
	for deadline := time.Now().Add(daemonLimit); ; time.Sleep(5 * time.Millisecond) {
		select {
		case <-d.ended:
			return fmt.Errorf("it ended: %s", d.log)
		default:
		}
		conn, err := pgx.Connect(context.Background(), dsn)
		if err == nil {
			return conn.Close(context.Background())
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w\n%s", err, d.log)
		}
	}
}
