package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"reflect"
	"time"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// shownEntry is the confirmed content of an audit row: the row that changes, and its fields before and after.
type shownEntry struct {
	action, id    string
	before, after map[string]any
	now           db.Time // time of the transaction; other times are compared relative to it
}

// confirm shows what fn would change, if the command asks for confirmation, and remembers what was confirmed.
func (l *Ledger) confirm(ctx context.Context, fn func(context.Context, *Tx) ([]Change, error), questions []db.Questions) error {
	if l.Confirm == nil || l.DryRun {
		return nil
	}
	var now time.Time
	l.DryRun, l.shown = true, nil
	entries, err := l.withRetry(ctx, func(ctx context.Context, tx *Tx) ([]Change, error) {
		now = tx.Now
		return fn(ctx, tx)
	}, questions)
	l.DryRun = false
	if err != nil || len(entries) == 0 {
		return err
	}
	if err := l.Confirm(ctx, entries); err != nil {
		return err
	}
	l.shown = make([]shownEntry, len(entries))
	for i, e := range entries {
		if l.shown[i], err = shownOf(e, now); err != nil {
			return err
		}
	}
	return nil
}

func shownOf(e Entry, now time.Time) (shownEntry, error) {
	s := shownEntry{action: text(e.Action), id: text(e.ResourceID), now: db.At(now)}
	for doc, into := range map[*json.RawMessage]*map[string]any{&e.Before: &s.before, &e.After: &s.after} {
		if len(*doc) == 0 {
			continue
		}
		d := json.NewDecoder(bytes.NewReader(*doc))
		d.UseNumber()
		if err := d.Decode(into); err != nil {
			return s, err
		}
		for _, field := range append(computed, "created_at") {
			delete(*into, field) // a trigger may set them to the current time
		}
	}
	return s, nil
}

// matches reports whether an entry is the one that was shown.
func (s shownEntry) matches(o shownEntry) bool {
	return s.action == o.action && s.id == o.id && s.same(o, s.before, o.before) && s.same(o, s.after, o.after)
}

// same compares two values of entries. Times are equal if they have the same distance to their transaction's time.
func (s shownEntry) same(o shownEntry, x, y any) bool {
	switch a := x.(type) {
	case map[string]any:
		b, ok := y.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k, v := range a {
			if w, ok := b[k]; !ok || !s.same(o, v, w) {
				return false
			}
		}
		return true
	case string:
		b, ok := y.(string)
		if !ok || a == b {
			return ok
		}
		var t, u db.Time
		if t.UnmarshalText([]byte(a)) != nil || u.UnmarshalText([]byte(b)) != nil {
			return false
		}
		return t.Infinity == u.Infinity && t.Instant.Sub(s.now.Instant) == u.Instant.Sub(o.now.Instant)
	}
	return reflect.DeepEqual(x, y)
}

// checkShown refuses a change that differs from the one that was shown.
func (l *Ledger) checkShown(entries []Entry, now time.Time) error {
	if l.shown == nil {
		return nil
	}
	matches := len(entries) == len(l.shown)
	for i := 0; matches && i < len(entries); i++ {
		shown, err := shownOf(entries[i], now)
		if err != nil {
			return err
		}
		matches = l.shown[i].matches(shown)
	}
	if !matches {
		return fault.New(fault.Conflict, "the rows were changed after the difference was shown").
			WithHint("nothing was changed; run the command again to see the new difference")
	}
	return nil
}
