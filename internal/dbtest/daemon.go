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

const daemonLimit = 30 * time.Second

// daemon is a server started by a test. It ends with the test, and also if this process is killed.
type daemon struct {
	cmd   *exec.Cmd
	ended chan struct{}
	log   *notes
}

// notes collects a daemon's output.
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

// startDaemon starts a program as an account; nil means our own.
func startDaemon(tb testing.TB, account *syscall.Credential, program string, args ...string) (*daemon, error) {
	d := &daemon{cmd: exec.Command(program, args...), ended: make(chan struct{}), log: &notes{}}
	d.cmd.Dir, d.cmd.Stdout, d.cmd.Stderr = "/", d.log, d.log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: account, Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		// The kernel sends the signal when the thread that started the program ends, so keep that thread.
		runtime.LockOSThread()
		err := d.cmd.Start()
		started <- err
		if err == nil {
			_ = d.cmd.Wait() // its log is more useful
		}
		close(d.ended)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	tb.Cleanup(func() { d.stop(syscall.SIGKILL) })
	return d, nil
}

// stop sends a signal and waits for the daemon to exit.
func (d *daemon) stop(sig syscall.Signal) {
	_ = d.cmd.Process.Signal(sig) // it may have exited
	<-d.ended
}

// answers waits until the daemon accepts connections.
func (d *daemon) answers(dsn string) error {
	for deadline := time.Now().Add(daemonLimit); ; time.Sleep(5 * time.Millisecond) {
		select {
		case <-d.ended:
			return fmt.Errorf("it exited: %s", d.log)
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
