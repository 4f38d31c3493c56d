package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// newHelpTopics returns the help pages that do not belong to a command, such as cxgctl help exit-codes.
func newHelpTopics() []*cobra.Command {
	return []*cobra.Command{
		{Use: "exit-codes", Short: "Exit codes and their meanings", Long: exitCodes()},
		{Use: "environment", Short: "Environment variables", Long: environmentHelp},
		{Use: "formats", Short: "Output formats", Long: formatsHelp},
	}
}

// runHelp prints the help of a command or topic. Unlike cobra's own, it fails if there is none.
func runHelp(cmd *cobra.Command, args []string) error {
	of, rest, err := cmd.Root().Find(args)
	if err != nil || len(rest) > 0 {
		return cmdutil.GroupHelp(of, rest)
	}
	of.InitDefaultHelpFlag()
	return of.Help()
}

// exitCodes returns the table of exit codes.
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
	fmt.Fprintf(&b, "%-5d %-34s %s", brokenPipe, "", "the reader of standard output closed it early; nothing was to be changed")
	return b.String()
}

const environmentHelp = `CXGCTL_CONFIG                 configuration file, as --config
CXGCTL_PROFILE                profile, as --profile
CXGCTL_OPERATOR               operator, as --operator
CXGCTL_OUTPUT                 output format, as --output
CXGCTL_TOKEN_FILE             file with the operator's token: a key, or the backend's access token
CXGCTL_MANAGER_DATABASE_URL   the manager database
CXGCTL_TENANTS_DATABASE_URL   the tenants database; with {code} in it, one per tenant
CXGCTL_REPLICA_DATABASE_URL   a replica of the manager database, for lists and exports
CXGCTL_DIRECT_DATABASE_URL, CXGCTL_DIRECT_TENANTS_DATABASE_URL
                              the servers themselves, for migrate, if the URLs above lead to a pooler
MANAGER_DATABASE_URL          the backend's own setting, read last
TENANTS_DATABASE_URL          the backend's own setting, read last
XDG_CONFIG_HOME               folder of cxgctl/config.yaml (default ~/.config)
XDG_STATE_HOME                folder of the stored login (default ~/.local/state)
DBUS_SESSION_BUS_ADDRESS      if set, a login is stored in the keyring
XDG_DATA_HOME                 folder of the dev database (default ~/.local/share; as root /var/lib)
NO_COLOR, CLICOLOR_FORCE      no colour; colour even off a terminal
TERM                          dumb means no colour
PGHOST, PGPORT, PGUSER, PGDATABASE, PGSERVICE, PGPASSFILE, PGSSLMODE, …
                              as in libpq, for what the connection string omits; without a connection string, PGHOST,
                              PGDATABASE or PGSERVICE name the manager database

Flags override the environment, which overrides the profile, which overrides the defaults.
A connection string may begin with postgres://, postgresql:// or postgresql+asyncpg://.`

const formatsHelp = `table   columns for people; on a terminal with colour and relative times
wide    more columns, exact times
json    one document: {"success":true,"data":…,"error":null}; a list has items, total, page, page_size, total_pages;
        with --cursor it has next_cursor, and total, page and total_pages are null
jsonl   one record per line, without the envelope of json
csv     RFC 4180, UTF-8, a header row, \n line ends (--csv-bom for Excel, --csv-safe against formulas)
tsv     tabs between cells; \t \n \r \\ inside one
yaml    the same document as json
id      ids only, one per line
xlsx    a spreadsheet (needs --output-file); numbers that it cannot hold exactly become text

Output that does not go to a terminal has neither colour nor truncation, and times are RFC 3339 in UTC.
Money is an exact decimal in a string, a date is YYYY-MM-DD, and missing values are null (csv, tsv: empty).
--columns selects and orders fields in every format. --jq runs on the json document.
--output-file writes to a temporary file in the same folder and renames it once complete; a name that ends
in .gz or .zst is compressed.`
