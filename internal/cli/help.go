package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// helpTopics are pages of help that belong to no command: cxgctl help exit-codes, …
func (a *app) helpTopics() []*cobra.Command {
	return []*cobra.Command{
		{Use: "exit-codes", Short: "The exit codes and what they mean", Long: exitCodes()},
		{Use: "environment", Short: "The environment variables that are read", Long: environmentHelp},
		{Use: "formats", Short: "The output formats", Long: formatsHelp},
	}
}

// help shows a command's or a topic's help, and refuses words that are none: cobra's own says so and
// exits with 0.
func (a *app) help(cmd *cobra.Command, args []string) error {
	of, rest, err := cmd.Root().Find(args)
	if err != nil || len(rest) > 0 {
		return a.groupHelp(of, rest)
	}
	of.InitDefaultHelpFlag()
	return of.Help()
}

// exitCodes prints the table that maps errors to codes.
func exitCodes() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-5s %-34s %s\n", "CODE", "SEMANTIC CODE", "MEANING")
	for _, x := range fault.Exits {
		names := make([]string, len(x.Codes))
		for i, c := range x.Codes {
			names[i] = string(c)
		}
		fmt.Fprintf(&b, "%-5d %-34s %s\n", x.Status, strings.Join(names, ", "), x.Meaning)
	}
	fmt.Fprintf(&b, "%-5d %-34s %s", brokenPipe, "", "what read standard output went away before the end; nothing was to be changed")
	return b.String()
}

const environmentHelp = `CXGCTL_CONFIG                 configuration file, as --config
CXGCTL_PROFILE                profile, as --profile
CXGCTL_OPERATOR               operator, as --operator
CXGCTL_OUTPUT                 output format, as --output
CXGCTL_TOKEN_FILE             file with the operator's token: a key, or the backend's access token
CXGCTL_MANAGER_DATABASE_URL   the manager database
CXGCTL_TENANTS_DATABASE_URL   the tenants database; with {code} in it, one of each tenant
CXGCTL_REPLICA_DATABASE_URL   beside the first: what lists and exports read
CXGCTL_DIRECT_DATABASE_URL, CXGCTL_DIRECT_TENANTS_DATABASE_URL
                              beside those that lead through a pooler: the servers themselves, for migrate
MANAGER_DATABASE_URL          the backend's own setting, read last
TENANTS_DATABASE_URL          the backend's own setting, read last
XDG_CONFIG_HOME               folder of cxgctl/config.yaml (default ~/.config)
XDG_STATE_HOME                folder of the kept login (default ~/.local/state)
DBUS_SESSION_BUS_ADDRESS      where it is set, a login is kept in the keyring
XDG_DATA_HOME                 folder of the dev database (default ~/.local/share; as root /var/lib)
NO_COLOR, CLICOLOR_FORCE      no colour; colour even off a terminal
TERM                          dumb means no colour
PGHOST, PGPORT, PGUSER, PGDATABASE, PGSERVICE, PGPASSFILE, PGSSLMODE, …
                              as libpq reads them, where the connection string does not say; where there is none, PGHOST,
                              PGDATABASE or PGSERVICE name the manager database

A flag beats the environment, the environment the profile, the profile what is built in.
A connection string may begin with postgres://, postgresql:// or postgresql+asyncpg://.`

const formatsHelp = `table   columns for people; on a terminal with colour and relative times
wide    more columns, exact times
json    one document: {"success":true,"data":…,"error":null}; a list has items, total, page, page_size, total_pages;
        behind a --cursor next_cursor, and total, page and total_pages are null
jsonl   one bare record a line
csv     RFC 4180, UTF-8, a header row, \n line ends (--csv-bom for Excel, --csv-safe against formulas)
tsv     tabs between cells; \t \n \r \\ inside one
yaml    the same document as json
id      the ids alone, one a line
xlsx    a spreadsheet, with --output-file; what it would not keep to the last digit is text

Off a terminal there is no colour and no truncation, and times are RFC 3339 in UTC. Money is an exact
decimal in a string, a date is YYYY-MM-DD, what is absent is null (csv, tsv: empty).
--columns picks and orders fields in every format. --jq runs on the json document.
--output-file writes to a temporary file beside it and puts it in place when it is whole; a name that
ends in .gz or .zst is compressed.`
