package users

import (
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/importer"
)

const importHolders = `
SELECT {columns}
  FROM {table} u
 WHERE u.id = ANY (@id::text[]::uuid[]) OR (u.username = ANY (@username::text[]) OR u.email = ANY (@email::text[])) AND {holding}
 ORDER BY u.id`

// Match makes a row an update of the user with its id or username. It fails rows with a value that another user has,
// and new rows that lack a field.
func (im *importSpec) Match(in *incoming, holders []importer.Holder[User]) {
	if len(holders) == 0 {
		im.complete(in)
		return
	}
	var who *importer.Holder[User]
	var others []importer.Holder[User]
	for i := range holders {
		if h := &holders[i]; h.Key == "id" || h.Key == "username" && who == nil {
			who = h
		}
	}
	for _, h := range holders {
		if h.Key != "id" && (who == nil || h.Record != who.Record) {
			others = append(others, h)
		}
	}
	switch {
	case len(others) > 0:
		im.target.FailTaken(&in.Row, others)
	case !who.Record.IsActive && !im.Restore:
		if holders[0].Key == "username" {
			who = &holders[0]
		}
		in.Fail(who.Key, who.Value, fault.New(fault.Conflict, "user %q is deleted", who.Record.Username).
			WithHint("to restore deleted users, add --restore"), &who.Record.ID)
	default:
		in.Holder, in.Outcome = who.Record, importer.Matched
	}
}
