package db

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// A port that does not speak PostgreSQL is named for what answers there.
func TestOpen_OtherServer(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		"HTTP/1.1 400 Bad Request\r\n\r\n":      "an HTTP server answered, not PostgreSQL",
		"<html><head><title>400 Bad Request":    "an HTTP server answered, not PostgreSQL",
		"SSH-2.0-OpenSSH_9.6\r\n":               "an SSH server answered, not PostgreSQL",
		"\x4a\x00\x00\x00\x0a8.0.36\x00\x08":    "a MySQL server answered, not PostgreSQL",
		"220 mail.example.com ESMTP\r\n":        "a server of another kind answered, not PostgreSQL",
		"N":                                     "", // PostgreSQL without TLS, which then closes the connection
		"E\x00\x00\x00\x10SFATAL\x00C08P01\x00": "",
		"":                                      "",
		"\nHTTP/1.0 400":                        "an HTTP server answered, not PostgreSQL", // after the end of a line
	} {
		t.Run(answer[:min(len(answer), 5)], func(t *testing.T) {
			t.Parallel()
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = listener.Close() })
			go func() {
				for {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					go func() {
						defer conn.Close()
						text, waits := strings.CutPrefix(answer, "\n")
						received := make([]byte, 64)
						n, err := conn.Read(received)
						for waits && err == nil && !strings.Contains(string(received[:n]), "\n") {
							n, err = conn.Read(received)
						}
						_, _ = conn.Write([]byte(text))
					}()
				}
			}()
			_, err = Open(t.Context(), Options{Name: "manager", Timeout: time.Second, URL: "postgres://u@" + listener.Addr().String() + "/mgmt"})
			if !fault.Is(err, fault.Database) {
				t.Fatal(err)
			}
			if want == "" && strings.Contains(err.Error(), "not PostgreSQL") ||
				!strings.HasPrefix(err.Error(), "cannot connect to the manager database: "+want) {
				t.Errorf("the error is %q, want %q", err, want)
			}
		})
	}
}
