// Package resource finds the rows that a person names by a REF. A REF is any key of a noun, such as an id; one that
// matches two rows is refused.
package resource

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/validate"
)

// Key is a way to identify a row: a column that is unique among live rows, and its value in a record.
type Key[T any] struct {
	Name string
	Of   func(T) string
}

// Kind describes how the rows of one kind are identified.
type Kind[T any] struct {
	Name          string // user, invoice
	ID            func(T) uuid.UUID
	DisplayName   func(T) string      // the name of a row for people: a username, an invoice number
	Keys          []Key[T]            // the id first, then the display name
	IsLive        func(T) bool        // whether the row is not deleted
	Describe      func(T) string      // a row in messages about ambiguous REFs; nil: the name and the id
	AmbiguityHint string              // the hint of those messages
	GuessKey      func(string) string // the most likely key of a REF that matches no row; nil: the id or the name
	DeletedHint   string              // the hint for a REF that matches only a deleted row, with %s for its id; "": how to restore it
}

// describe returns a row in messages about ambiguous REFs.
func (n Kind[T]) describe(row T) string {
	if n.Describe != nil {
		return n.Describe(row)
	}
	return n.DisplayName(row) + " (" + n.ID(row).String() + ")"
}

// Guess returns the most likely key of a REF that matches no row.
func (n Kind[T]) Guess(ref string) string {
	switch {
	case n.GuessKey != nil:
		return n.GuessKey(ref)
	case uuid.Validate(ref) == nil:
		return n.Keys[0].Name
	}
	return n.Keys[1].Name
}

// deletedHint returns the hint for a REF that matches only a deleted row.
func (n Kind[T]) deletedHint(row T) string {
	hint := cmp.Or(n.DeletedHint, "a deleted {noun} matches; restore it with: cxgctl {noun}s restore %s, or show it with: cxgctl {noun}s get %s --include-deleted")
	return strings.NewReplacer("{noun}", n.Name, "%s", n.ID(row).String()).Replace(hint)
}

// Match is the result for one REF: a row, or the reason that there is none.
type Match[T any] struct {
	Ref string
	Row T
	Err error
}

// KeyNames returns the names of the keys.
func (n Kind[T]) KeyNames() []string {
	list := make([]string, len(n.Keys))
	for i, k := range n.Keys {
		list[i] = k.Name
	}
	return list
}

// ParseKey checks the value of --by: the name of a key, or "" for any. Other values are a VALIDATION_ERROR.
func (n Kind[T]) ParseKey(s string) (string, error) {
	by := strings.ToLower(s)
	for _, k := range n.Keys {
		if by == k.Name || by == "" {
			return by, nil
		}
	}
	return "", fault.New(fault.Validation, "--by: %q is not one of %s", s, strings.Join(n.KeyNames(), ", "))
}

// canonical returns an id as PostgreSQL prints it, or "" if the text is not an id.
func canonical(ref string) string {
	id, err := uuid.Parse(ref)
	if err != nil || len(ref) != 36 {
		return ""
	}
	return id.String()
}

// Args returns the REFs as one text array per key, by the key's name, for predicates such as u.username = ANY
// (@username::text[]). The array is empty for a key that by excludes. Ids are in canonical form; texts that are not
// ids are left out of their array.
func (n Kind[T]) Args(refs []string, by string) pgx.NamedArgs {
	args := pgx.NamedArgs{}
	for i, k := range n.Keys {
		list := []string{}
		for _, r := range refs {
			if i == 0 {
				r = canonical(r)
			}
			if r != "" && (by == "" || by == k.Name) {
				list = append(list, r)
			}
		}
		args[k.Name] = list
	}
	return args
}

// Matches assigns the rows that a query with Args found to their REFs, in the order of the REFs. A REF that matches
// no row, only a deleted row (unless deleted is set) or several rows has an error.
func (n Kind[T]) Matches(refs []string, by string, rows []T, deleted bool) []Match[T] {
	byKey := make([]map[string][]int, len(n.Keys))
	for i, k := range n.Keys {
		byKey[i] = make(map[string][]int, len(rows))
		if by != "" && by != k.Name {
			continue
		}
		for j, row := range rows {
			v := k.Of(row)
			byKey[i][v] = append(byKey[i][v], j)
		}
	}
	found := make([]Match[T], len(refs))
	for i, r := range refs {
		seen := map[int]bool{}
		var matches []T
		for k := range n.Keys {
			value := r
			if k == 0 {
				value = canonical(r)
			}
			for _, j := range byKey[k][value] {
				if !seen[j] {
					seen[j] = true
					matches = append(matches, rows[j])
				}
			}
		}
		found[i] = n.pick(r, matches, deleted)
	}
	return found
}

func (n Kind[T]) pick(ref string, matches []T, deleted bool) Match[T] {
	f := Match[T]{Ref: ref}
	var fit []T
	for _, m := range matches {
		if deleted || n.IsLive(m) {
			fit = append(fit, m)
		}
	}
	switch {
	case len(fit) == 1:
		f.Row = fit[0]
	case len(fit) > 1:
		words := make([]string, len(fit))
		ids := make([]string, len(fit))
		for i, m := range fit {
			words[i] = n.Name + " " + n.describe(m)
			ids[i] = n.Keys[0].Of(m)
		}
		f.Err = fault.New(fault.Validation, "%q matches more than one %s: %s", ref, n.Name, strings.Join(words, " and ")).
			WithHint("%s", n.AmbiguityHint).With("ref", ref).With("ids", ids)
	default:
		nf := fault.New(fault.NotFound, "%s %q not found", n.Name, ref).With(n.Guess(ref), ref)
		if len(matches) > 0 {
			nf.WithHint("%s", n.deletedHint(matches[0]))
		}
		f.Err = nf
	}
	return f
}

// Suggest adds hints to the REFs that match nothing: the near one of the names that begin like it, else the command that
// searches. At most maxSuggestions REFs get one. names returns the names of live rows with a prefix; search is that
// command without the text, "" for none.
func (n Kind[T]) Suggest(found []Match[T], search string, names func(prefix string) ([]string, error)) {
	left := maxSuggestions
	for _, m := range found {
		f, ok := errors.AsType[*fault.Error](m.Err)
		if !ok || f.Code != fault.NotFound || f.Hint != "" || canonical(m.Ref) != "" {
			continue
		}
		if left--; left < 0 {
			return
		}
		if name := nearName(m.Ref, names); name != "" {
			f.WithHint("did you mean %s", name)
		} else if search != "" {
			f.WithHint("search: %s %s", search, fault.Word(m.Ref))
		}
	}
}

// maxSuggestions bounds the queries for REFs that match nothing.
const maxSuggestions = 3

// nearName returns the name that a REF most likely means, or "". It looks at names that begin with the larger part of
// the REF, then with half of it. Errors give no name: the REF's own error matters more.
func nearName(ref string, names func(prefix string) ([]string, error)) string {
	for _, text := range slices.Compact([]string{ref, strings.ToLower(ref), strings.ToUpper(ref)}) {
		runes := []rune(text)
		for _, length := range []int{len(runes) - 2, len(runes) / 2} {
			if length < 1 {
				continue
			}
			list, err := names(string(runes[:length]))
			if err != nil {
				return ""
			}
			if near := validate.Near(ref, list); near != "" {
				return near
			}
		}
	}
	return ""
}

// Single returns the result of the only REF.
func Single[T any](found []Match[T]) (T, error) { return found[0].Row, found[0].Err }
