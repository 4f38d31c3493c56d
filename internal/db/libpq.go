package db

import (
	"cmp"
	"crypto/tls"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// flaws are parts of pgx's messages about a parameter of a connection string, with the parameter and what is wrong.
var flaws = []struct{ text, parameter, wrong string }{
	{"sslmode is invalid", "sslmode", "must be disable, allow, prefer, require, verify-ca or verify-full"},
	{"unable to read CA file", "sslrootcert", "cannot be read"},
	{"unable to add CA to cert pool", "sslrootcert", "holds no certificate in PEM"},
	{"unable to read sslkey", "sslkey", "cannot be read"},
	{"unable to read cert", "sslcert", "cannot be read"},
	{`both "sslcert" and "sslkey"`, "sslcert", "needs sslkey, and sslkey needs sslcert"},
	{"unable to load cert", "sslcert", "does not match sslkey"},
	{"sslkey", "sslkey", "is not a private key that can be used"},
	{"failed to read service file", "service", "needs a service file, but PGSERVICEFILE and ~/.pg_service.conf cannot be read"},
	{"failed to read service", "service", "is not in the service file"},
	{"connect_timeout", "connect_timeout", "must be a number of seconds"},
	{"target_session_attrs", "target_session_attrs", "must be any, read-write, read-only, primary, standby or prefer-standby"},
	{"channel_binding", "channel_binding", "must be disable, prefer or require"},
	{"require_auth", "require_auth", "must be a list of authentication methods"},
	{"sslcertmode", "sslcertmode", "must be disable, allow or require"},
	{"min_protocol_version", "min_protocol_version", "must be 3.0, 3.2 or latest, and not above max_protocol_version"},
	{"max_protocol_version", "max_protocol_version", "must be 3.0, 3.2 or latest"},
	{"invalid port", "port", "must be a number from 1 to 65535; percent-encode the special characters of a password"},
	{"port numbers", "port", "must be one number, or one for each host"},
}

// flaw returns which parameter pgx could not use, and why, or "". It never quotes a value, except the name of a file
// that cannot be read.
func flaw(err error, dsn string) string {
	parsing, ok := errors.AsType[*pgconn.ParseConfigError](err)
	if !ok {
		return ""
	}
	text := parsing.Error() // ends with the message, after the connection string
	text = text[strings.LastIndex(text, "`: ")+1:]
	for _, f := range flaws {
		if !strings.Contains(text, f.text) {
			continue
		}
		name := f.parameter
		for _, variable := range []string{"PG" + strings.ToUpper(name), "PG" + strings.ToUpper(strings.ReplaceAll(name, "_", ""))} {
			if os.Getenv(variable) != "" && !strings.Contains(dsn, name+"=") {
				name = variable
			}
		}
		if file, unread := errors.AsType[*fs.PathError](err); unread {
			return name + ": " + file.Path + ": " + file.Err.Error()
		}
		return name + " " + f.wrong
	}
	return ""
}

// harmless are libpq's parameters that pgx would send to the server, which refuses them. They only tune the socket, or
// turn off what cxgctl does not use.
var harmless = []string{
	"gssencmode", "gsslib", "gssdelegation", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count",
	"tcp_user_timeout", "sslcompression", "load_balance_hosts", "fallback_application_name",
}

// unsupported are libpq's parameters that must not be ignored, with what to use instead.
var unsupported = map[string]string{
	"hostaddr": "put the address into host", "requirepeer": "use a socket in a folder that only the server's user can write to",
	"sslcrl": "use a certificate authority that has issued no revoked certificate", "sslcrldir": "use sslrootcert",
	"ssl_max_protocol_version": "use ssl_min_protocol_version", "requiressl": "use sslmode=require",
}

var tlsVersions = map[string]uint16{"TLSv1": tls.VersionTLS10, "TLSv1.1": tls.VersionTLS11, "TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13}

// adoptLibpq handles libpq's parameters that pgx takes for settings of the server.
func adoptLibpq(cfg *pgx.ConnConfig, o Options) error {
	params := cfg.RuntimeParams
	for name, instead := range unsupported {
		if params[name] != "" {
			return malformed(o, name+" is not supported; "+instead)
		}
	}
	if params["gssencmode"] == "require" {
		return malformed(o, "gssencmode=require is not supported; use TLS")
	}
	params["application_name"] = cmp.Or(params["application_name"], params["fallback_application_name"])
	if wanted := params["ssl_min_protocol_version"]; wanted != "" {
		version, known := tlsVersions[wanted]
		if !known {
			return malformed(o, "ssl_min_protocol_version must be TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3")
		}
		delete(params, "ssl_min_protocol_version")
		all := []*tls.Config{cfg.TLSConfig}
		for _, f := range cfg.Fallbacks {
			all = append(all, f.TLSConfig)
		}
		for _, c := range slices.DeleteFunc(all, func(c *tls.Config) bool { return c == nil }) {
			c.MinVersion = version
		}
	}
	for _, name := range harmless {
		delete(params, name)
	}
	return nil
}
