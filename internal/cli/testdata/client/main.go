// Command client is the cxgctl of the scripts: it has the test process that CXGCTL_TEST_HOST names run the
// command, with this process's arguments, environment, folder and standard streams.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
)

// failed is the exit code where the command cannot be run at all.
const failed = 125

func main() {
	host := os.Getenv("CXGCTL_TEST_HOST")
	if host == "" { // a script that wants a process of its own
		fmt.Fprintln(os.Stderr, "client:", syscall.Exec(os.Getenv("CXGCTL_TEST_BINARY"), os.Args, os.Environ()))
		os.Exit(failed)
	}
	status, err := run(host)
	if err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		status = failed
	}
	os.Exit(status)
}

func run(host string) (int, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: host, Net: "unix"})
	if err != nil {
		return 0, err
	}
	dir, err := syscall.Getwd()
	if err != nil {
		return 0, err
	}
	// One byte carries the streams; what is to be run follows.
	if _, _, err := conn.WriteMsgUnix([]byte{0}, syscall.UnixRights(0, 1, 2), nil); err != nil {
		return 0, err
	}
	err = json.NewEncoder(conn).Encode(struct {
		Dir       string
		Args, Env []string
	}{dir, os.Args[1:], os.Environ()})
	if err != nil {
		return 0, err
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		for s := range signals {
			_, _ = conn.Write([]byte{byte(s.(syscall.Signal))})
		}
	}()
	answer := make([]byte, 1)
	_, err = io.ReadFull(conn, answer)
	return int(answer[0]), err
}
