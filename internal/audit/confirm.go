package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// shownEntry is what a person agreed to of one audit row: which row changes, from what to what.
type shownEntry struct {
	action, id    string
	before, after json.RawMessage
}

// confirmed shows what fn would change, if somebody is to be asked, and keeps what he agreed to.
func (l *Ledger) confirmed(ctx context.Context, fn func(context.Context, *Tx) ([]Change, error)) error {
	if l.Confirm == nil || l.DryRun {
		return nil
	}
	var now time.Time
	l.DryRun, l.shown = true, nil
	entries, err := l.again(ctx, func(ctx context.Context, tx *Tx) ([]Change, error) {
		now = tx.Now
		return fn(ctx, tx)
	})
	l.DryRun = false
	if err != nil || len(entries) == 0 {
		return err
	}
	if err := l.Confirm(ctx, entries); err != nil {
		return err
	}
	l.shown = make([]shownEntry, len(entries))
	for i, e := range entries {
		l.shown[i] = shownOf(e, now)
	}
	return nil
}

// shownOf is an entry without what is another each time: the transaction's time, and the id of a new row.
func shownOf(e Entry, now time.Time) shownEntry {
	s := shownEntry{before: e.Before, after: e.After}
	if e.Action != nil {
		s.action = *e.Action
	}
	s.after = bytes.ReplaceAll(s.after, []byte(db.At(now).String()), []byte("now"))
	if e.ResourceID != nil && e.Before != nil {
		s.id = *e.ResourceID
	} else if e.ResourceID != nil {
		s.after = bytes.ReplaceAll(s.after, []byte(*e.ResourceID), []byte("id"))
	}
	return s
}

// asShown refuses a change that is not the one that was shown.
func (l *Ledger) asShown(entries []Entry, now time.Time) error {
	if l.shown == nil {
		return nil
	}
	same := len(entries) == len(l.shown)
	for i := 0; same && i < len(entries); i++ {
		have, want := shownOf(entries[i], now), l.shown[i]
		same = have.action == want.action && have.id == want.id && SameJSON(have.before, want.before) && SameJSON(have.after, want.after)
	}
	if !same {
		return fault.New(fault.Conflict, "somebody changed the rows since the difference was shown").
			WithHint("nothing was changed; run the command again to see the new difference")
	}
	return nil
}
