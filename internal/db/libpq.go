package db

import (
	"cmp"
	"crypto/tls"
	"errors"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// flaws are parts of pgx's messages about a parameter of a connection string, with the parameter and what is wrong.
var flaws = []struct{ text, parameter, wrong string }{
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
	{"require_auth", "require_auth", "must be a list of authentication methods"},
	{"min_protocol_version cannot", "min_protocol_version", "must not be above max_protocol_version"},
	{"invalid port", "port", "must be a number from 1 to 65535; percent-encode the special characters of a password"},
	{"port numbers", "port", "must be one number, or one for each host"},
}

// words are the values of libpq's parameters that have a fixed set of them. pgx checks some of these, and those of TLS
// for connections over TCP only.
var words = map[string][]string{
	"channel_binding":          {"disable", "prefer", "require"},
	"gssencmode":               {"disable", "prefer", "require"},
	"load_balance_hosts":       {"disable", "random"},
	"max_protocol_version":     {"3.0", "3.2", "latest"},
	"min_protocol_version":     {"3.0", "3.2", "latest"},
	"ssl_min_protocol_version": slices.Sorted(maps.Keys(tlsVersions)),
	"sslcertmode":              {"disable", "allow", "require"},
	"sslmode":                  {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"},
	"sslnegotiation":           {"postgres", "direct"},
	"sslsni":                   {"0", "1"},
	"target_session_attrs":     {"any", "read-write", "read-only", "primary", "standby", "prefer-standby"},
}

// assignment is a parameter of a connection string of keywords and values.
var assignment = regexp.MustCompile(`(\w+)\s*=\s*('(?:\\.|[^'\\])*'|(?:\\.|[^\s\\])*)`)

func parameters(dsn string) map[string]string {
	given := map[string]string{}
	if scheme, rest, _ := strings.Cut(dsn, "://"); scheme == "postgres" || scheme == "postgresql" {
		_, query, _ := strings.Cut(rest, "?")
		values, _ := url.ParseQuery(query) // what it can read
		for name := range values {
			given[name] = values.Get(name)
		}
		return given
	}
	for _, m := range assignment.FindAllStringSubmatch(dsn, -1) {
		given[m[1]] = strings.Trim(m[2], "'")
	}
	return given
}

// parameter returns a parameter of a connection string, or its variable of the environment, and which of the two.
func parameter(given map[string]string, name string) (value, source string) {
	if value, ok := given[name]; ok {
		return value, name
	}
	for _, variable := range []string{"PG" + strings.ToUpper(strings.ReplaceAll(name, "_", "")), "PG" + strings.ToUpper(name)} {
		if value := os.Getenv(variable); value != "" {
			return value, variable
		}
	}
	return "", name
}

// unknownWord returns which parameter has a value that libpq refuses, or "".
func unknownWord(dsn string) string {
	given := parameters(dsn)
	for _, name := range slices.Sorted(maps.Keys(words)) {
		known := words[name]
		if value, source := parameter(given, name); value != "" && !slices.Contains(known, value) {
			last := len(known) - 1
			return source + " must be " + strings.Join(known[:last], ", ") + " or " + known[last]
		}
	}
	return ""
}

// flaw returns which parameter pgx could not use, and why, or "". It never quotes a value, except the name of a file
// that cannot be read.
func flaw(err error, dsn string) string {
	if unknown := unknownWord(dsn); unknown != "" {
		return unknown
	}
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
		_, name := parameter(parameters(dsn), f.parameter)
		if file, unread := errors.AsType[*fs.PathError](err); unread {
			return name + ": " + file.Path + ": " + file.Err.Error()
		}
		return name + " " + f.wrong
	}
	for name, known := range words { // of a service file
		if strings.Contains(text, name) {
			return name + " must be one of " + strings.Join(known, ", ")
		}
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

// adoptLibpq handles libpq's parameters that pgx takes for settings of the server, or reads from no variable.
func adoptLibpq(cfg *pgx.ConnConfig, o Options) error {
	params := cfg.RuntimeParams
	if unknown := unknownWord(o.URL); unknown != "" {
		return malformed(o, unknown)
	}
	for name, instead := range unsupported {
		if value, source := parameter(params, name); value != "" {
			return malformed(o, source+" is not supported; "+instead)
		}
	}
	if mode, source := parameter(params, "gssencmode"); mode == "require" {
		return malformed(o, source+"=require is not supported; use TLS")
	}
	params["application_name"] = cmp.Or(params["application_name"], params["fallback_application_name"])
	if wanted, _ := parameter(params, "ssl_min_protocol_version"); wanted != "" {
		delete(params, "ssl_min_protocol_version")
		all := []*tls.Config{cfg.TLSConfig}
		for _, f := range cfg.Fallbacks {
			all = append(all, f.TLSConfig)
		}
		for _, c := range slices.DeleteFunc(all, func(c *tls.Config) bool { return c == nil }) {
			c.MinVersion = tlsVersions[wanted]
		}
	}
	for _, name := range harmless {
		delete(params, name)
	}
	return nil
}
