package cmdutil

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/rowupdate"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/users"
)

// diffWriter writes changes for people, with names beside ids.
type diffWriter struct {
	b        strings.Builder
	terminal output.Terminal
	find     func(kind string, ids []string) map[string]string // returns the names of rows; nil before a session is open
	names    map[string]string                                 // of ids, "" if none was found
	masked   func(field string, v json.RawMessage) json.RawMessage
}

// newDiffWriter returns a writer. Nothing is masked: operators must see the values that they are about to change.
func newDiffWriter(env *Env, t output.Terminal) *diffWriter {
	unmasked := func(_ string, v json.RawMessage) json.RawMessage { return v }
	return &diffWriter{terminal: t, find: env.names, names: map[string]string{}, masked: unmasked}
}

// findNames finds the names of the rows that changes refer to.
func (w *diffWriter) findNames(entries []audit.Entry) {
	for _, e := range entries {
		if e.OperatorID != nil && e.Operator != nil {
			w.names[e.OperatorID.String()] = *e.Operator
		}
	}
	ids := map[string][]string{} // by kind
	for _, e := range entries {
		diffs, _ := e.Differences() // fields returns the error
		for _, d := range diffs {
			kind := referred(d.Field)
			for _, v := range []json.RawMessage{d.Before, d.After} {
				id := unquoted(v)
				if _, seen := w.names[id]; kind != "" && !seen && uuid.Validate(id) == nil {
					w.names[id] = ""
					ids[kind] = append(ids[kind], id)
				}
			}
		}
	}
	if w.find == nil {
		return
	}
	for kind, list := range ids {
		maps.Copy(w.names, w.find(kind, list))
	}
}

// referred returns the kind of the row whose id a field holds, or "".
func referred(field string) string {
	switch {
	case field == "tenant_id":
		return Tenants.Name
	case field == "user_id", field == "operator_id", strings.HasSuffix(field, "_by"):
		return Users.Name
	}
	return ""
}

// unquoted returns the text of a JSON string, or "".
func unquoted(v json.RawMessage) string {
	var s string
	_ = json.Unmarshal(v, &s)
	return s
}

// nameTimeout bounds the search for names, without which ids are shown.
const nameTimeout = time.Second

// namesOf returns a function that returns the names of rows of a kind by id, as far as they are known.
func namesOf(ctx context.Context, s *Session) func(kind string, ids []string) map[string]string {
	return func(kind string, ids []string) map[string]string {
		ctx, cancel := context.WithTimeout(ctx, nameTimeout)
		defer cancel()
		switch kind {
		case Tenants.Name:
			return displayNames(ctx, s, Tenants, ids)
		case Users.Name:
			return displayNames(ctx, s, Users, ids)
		}
		return nil
	}
}

func displayNames[T any, E Table[T]](ctx context.Context, s *Session, n Resource[T, E], ids []string) map[string]string {
	cat := s.Catalog
	tables := append(slices.Clip(n.Tables), schema.Users)
	if slices.ContainsFunc(tables, func(name string) bool { return cat[name] == nil }) {
		var err error
		if cat, err = ReadTables(ctx, s, tables); err != nil {
			return nil
		}
	}
	t, err := n.Open(&Session{DB: s.DB, Catalog: cat})
	if err != nil {
		return nil
	}
	found, err := t.Find(ctx, s.DB, ids, "id", true)
	if err != nil {
		return nil
	}
	names := map[string]string{}
	for _, f := range found {
		if f.Err == nil {
			names[f.Ref] = n.DisplayName(f.Row)
		}
	}
	return names
}

// NamesHolders reports whether errors describe the users who hold a taken username or e-mail: if the operator may see
// them. Structured errors have their ids.
func NamesHolders(env *Env, s *Session) bool {
	return !IsStructured(env.Printer.Format) && !env.Printer.Mask && s.Identity.Require(nil, "USER_READ") == nil
}

// nameHolders describes the users who hold the taken username or e-mail that err is about.
func nameHolders(env *Env, s *Session, err error) error {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Code != fault.AlreadyExists || !NamesHolders(env, s) {
		return err
	}
	held, ok := errors.AsType[*rowupdate.Held[users.User]](err)
	if !ok {
		return err
	}
	taken, _ := f.Detail["fields"].([]map[string]any)
	parts := make([]string, len(taken))
	for i, x := range taken {
		holder := slices.IndexFunc(held.Holders, func(u users.User) bool { return u.ID.String() == x["holder"] })
		parts[i] = fmt.Sprintf("%s %q is taken by %s", x["field"], x["value"], held.Holders[holder].Described())
	}
	f.Message = strings.Join(parts, "; ")
	return f
}

// PrintChanges prints the audit rows of an operation, or a single one. On a terminal the changed fields follow, in place
// of the JSON before and after the change.
func PrintChanges[T any](env *Env, v output.View, records []T, entries []audit.Entry, operation bool) error {
	shows := env.forPeople() && env.Printer.Terminal.IsTTY && len(env.Printer.Columns) == 0
	single := !operation || shows && len(records) == 1
	if single && shows {
		env.Printer.Columns = slices.DeleteFunc(output.Fields[T](), func(f string) bool { return f == "before" || f == "after" })
	}
	print := func() error { return PrintWhole(env, v, records) }
	if single {
		print = func() error { return output.One(env.Printer, v, records[0]) }
	}
	if err := print(); err != nil || !shows {
		return err
	}
	w := newDiffWriter(env, env.Printer.Terminal)
	w.masked = env.masked
	return w.writeFirst(env.Printer.Stdout, entries, false)
}

// isAny selects every field, and isStored those that a change sets to a value of its own.
func isAny(audit.Difference) bool      { return true }
func isStored(d audit.Difference) bool { return !audit.Computed(d.Field) }

// maxShownRows limits the rows of a difference shown before a prompt.
const maxShownRows = 20

// writeFirst writes what a change does, or did, to the first rows.
func (w *diffWriter) writeFirst(out io.Writer, entries []audit.Entry, planned bool) error {
	more := ""
	if n := len(entries) - maxShownRows; n > 0 {
		entries, more = entries[:maxShownRows], "… and "+fault.Plural(n, "row")+"\n"
	}
	if err := w.write(out, entries, planned, isStored); err != nil {
		return err
	}
	_, err := io.WriteString(out, more)
	return err
}

// write writes each change as lines of field: before → after, under a line such as "would update user ada (ID)".
func (w *diffWriter) write(out io.Writer, entries []audit.Entry, planned bool, wanted func(audit.Difference) bool) error {
	w.findNames(entries)
	for _, e := range entries {
		infinitive, done := verb(e.Action)
		switch {
		case planned:
			done = "would " + infinitive
		case e.Result != nil && *e.Result != "SUCCESS":
			done = "failed to " + infinitive
		}
		id := ""
		if e.ResourceID != nil {
			id = " (" + *e.ResourceID + ")"
		}
		fmt.Fprintf(&w.b, "%s %s%s\n", done, output.Sanitize(subjectName(e)), id)
		if err := w.fields(e, wanted); err != nil {
			return err
		}
	}
	_, err := io.WriteString(out, w.terminal.Fold(w.b.String(), 4))
	return err
}

// fields writes the wanted fields of an audit row as lines of field: before → after.
func (w *diffWriter) fields(e audit.Entry, wanted func(audit.Difference) bool) error {
	diffs, err := e.Differences()
	if err != nil {
		return err
	}
	for _, d := range diffs {
		before, after := w.image(w.masked(d.Field, d.Before)), w.image(w.masked(d.Field, d.After))
		switch {
		case e.Before == nil && string(d.After) == "null", !wanted(d):
		case e.Before == nil:
			fmt.Fprintf(&w.b, "  %s: %s\n", d.Field, w.terminal.New(after))
		default:
			fmt.Fprintf(&w.b, "  %s: %s → %s\n", d.Field, w.terminal.Old(before), w.terminal.New(after))
		}
	}
	return nil
}

// image returns a value as text, with the name beside an id.
func (w *diffWriter) image(v json.RawMessage) string {
	if v == nil {
		return "null"
	}
	text := output.Sanitize(string(v))
	value := unquoted(v)
	if at, err := time.Parse(time.RFC3339Nano, value); err == nil && w.terminal.IsTTY {
		return `"` + w.terminal.Time(at) + `"`
	}
	if name := w.names[value]; name != "" {
		text += " (" + output.Sanitize(name) + ")"
	}
	return text
}
