package db

import "strings"

// pinned lists the settings that decide which objects a statement finds, which rows it sees, and how text is encoded,
// parsed and printed. Every session sets them, so that settings of the role, the database, PGOPTIONS or the connection
// string cannot change the behavior of a command. The values are valid both in SET and as start-up parameters.
// Temporary objects come last in search_path, so that they cannot shadow pg_catalog.
var pinned = []struct{ name, value string }{
	{"quote_all_identifiers", "off"}, // first, because it affects how search_path is stored
	{"search_path", "pg_catalog, pg_temp"},
	{clientEncoding, "UTF8"},
	{"datestyle", "ISO, YMD"},
	{"intervalstyle", "postgres"},
	{"timezone", "UTC"},
	{"bytea_output", "hex"},
	{"extra_float_digits", "1"},
	{"standard_conforming_strings", "on"},
	{"array_nulls", "on"},
	{"transform_null_equals", "off"},
	{"gin_fuzzy_search_limit", "0"}, // otherwise index searches return only some rows
	{rowSecurity, "off"},            // fail instead of returning filtered rows
}

const (
	clientEncoding = "client_encoding"
	rowSecurity    = "row_security"
)

// Pin adds the pinned settings to the parameters of a start-up packet, where they take precedence over `options`. It
// removes names that differ only in case.
func Pin(params map[string]string) {
	unpin(params)
	for _, p := range pinned {
		params[p.name] = p.value
	}
}

// unpin removes the pinned settings from the parameters of a start-up packet.
func unpin(params map[string]string) {
	for name := range params {
		for _, p := range pinned {
			if strings.EqualFold(name, p.name) {
				delete(params, name)
			}
		}
	}
}

// setPinned returns the statements that pin a transaction's settings, each after a semicolon.
func setPinned() string {
	var b strings.Builder
	for _, p := range pinned {
		b.WriteString("; SET LOCAL " + p.name + " = " + p.value)
	}
	return b.String()
}

// filtered lets row policies filter what a transaction reads.
const filtered = "; SET LOCAL " + rowSecurity + " = on"

// setSynchronous makes COMMIT wait for the local disk at least. A stronger synchronous_commit is kept.
const setSynchronous = `SELECT pg_catalog.set_config('synchronous_commit', 'on', true) WHERE pg_catalog.current_setting('synchronous_commit') <> 'remote_apply'`

// synchronous does that at the start of a transaction.
const synchronous = "; " + setSynchronous

// Synchronous does the same for a session with pinned settings.
const Synchronous = `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') <> 'remote_apply'`
