package db

import "strings"

// pinned are the settings that decide which objects a statement finds, which rows it sees, and how text is encoded,
// parsed and printed. Every session of cxgctl sets them, so that no setting of the role, of the database, of PGOPTIONS
// or of the connection string changes what a command does. The values are written as SET takes them, and as a start-up
// parameter takes them too. Temporary objects come last, so that none hides a table or a type of pg_catalog.
var pinned = []struct{ name, value string }{
	{"quote_all_identifiers", "off"}, // first, since the next is kept as this has it quoted
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
	{"gin_fuzzy_search_limit", "0"}, // else a search by an index returns some of its rows
	{rowSecurity, "off"},            // a statement whose rows a policy would filter fails instead
}

const (
	clientEncoding = "client_encoding"
	rowSecurity    = "row_security"
)

// Pin puts the pinned settings into the parameters of a start-up packet. The server applies these after `options`, so
// that they hold against it. A name in another case is the same setting.
func Pin(params map[string]string) {
	unpin(params)
	for _, p := range pinned {
		params[p.name] = p.value
	}
}

// unpin takes the pinned settings out of the parameters of a start-up packet.
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

// synchronous has the COMMIT wait until it is on the disk, at least: a synchronous_commit that waits for more stays.
const synchronous = `; SELECT pg_catalog.set_config('synchronous_commit', 'on', true) WHERE pg_catalog.current_setting('synchronous_commit') <> 'remote_apply'`

// Synchronous does that for a session whose settings are pinned.
const Synchronous = `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') <> 'remote_apply'`
