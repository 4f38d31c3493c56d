package db

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// The state of TLS is that of our own connection: its version, its cipher, and how far the certificate was verified.
func TestTLS_State(t *testing.T) {
	t.Parallel()
	pair := dbtest.New(t, dbtest.Template{Name: "empty"})
	if d := opened(t, Options{URL: pair.Manager}); d.TLS() != "" {
		t.Errorf("over a socket: %q", d.TLS())
	}
	address, ca := encrypting(t, pair.Manager)
	cfg, err := pgx.ParseConfig(pair.Manager)
	if err != nil {
		t.Fatal(err)
	}
	at := func(host string) string {
		return "postgres://" + cfg.User + "@" + strings.Replace(address, "127.0.0.1", host, 1) + "/" + cfg.Database + "?sslrootcert=" + ca + "&sslmode="
	}
	for dsn, want := range map[string]string{
		at("localhost") + "verify-full": "certificate verified",
		at("127.0.0.1") + "verify-ca":   "certificate verified, but not its host name",
		strings.Replace(at("localhost"), "sslrootcert="+ca+"&", "", 1) + "require&ssl_min_protocol_version=TLSv1.3": "certificate not verified",
	} {
		got := opened(t, Options{URL: dsn}).TLS()
		if !strings.HasPrefix(got, "TLS 1.3 (TLS_") || !strings.HasSuffix(got, "), "+want) {
			t.Errorf("%s: %q, want %s", dsn, got, want)
		}
	}
}

// encrypting starts a proxy that adds TLS for localhost to a server, and returns its address and its certificate.
func encrypting(t *testing.T, dsn string) (address, certificate string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	server, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	network, target := "unix", filepath.Join(server.Host, ".s.PGSQL.5432")
	if !strings.HasPrefix(server.Host, "/") {
		network, target = "tcp", hostPort(server.Host, server.Port)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	settings := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	go func() {
		for {
			plain, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer plain.Close()
				if _, err := io.ReadFull(plain, make([]byte, 8)); err != nil { // SSLRequest
					return
				}
				_, _ = plain.Write([]byte("S"))
				backend, err := net.Dial(network, target)
				if err != nil {
					return
				}
				defer backend.Close()
				client := tls.Server(plain, settings)
				go func() { _, _ = io.Copy(backend, client); _ = backend.Close() }()
				_, _ = io.Copy(client, backend)
			}()
		}
	}()
	return l.Addr().String(), certificate
}
