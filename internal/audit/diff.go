package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// images returns the before and after objects of a change: the whole record where only one side
// exists, the fields that differ where both do. Secrets are named, with "changed" for their value.
func images(before, after any, secrets []string) (b, a json.RawMessage, err error) {
	if before == nil && after != nil {
		a, err = whole(after, secrets)
		return nil, a, err
	}
	bf, err := Fields(before)
	if err != nil {
		return nil, nil, err
	}
	af, err := Fields(after)
	if err != nil {
		return nil, nil, err
	}
	if bf != nil && af != nil {
		for name, v := range bf {
			if bytes.Equal(v, af[name]) {
				delete(bf, name)
				delete(af, name)
			}
		}
	}
	for _, name := range secrets {
		if af != nil {
			af[name] = json.RawMessage(`"changed"`)
		}
	}
	if b, err = object(bf); err != nil {
		return nil, nil, err
	}
	a, err = object(af)
	return b, a, err
}

// whole is the image of a record that there was none of before: nothing in it is to be left out, so that
// it need not be taken apart.
func whole(record any, secrets []string) (json.RawMessage, error) {
	doc, err := json.Marshal(record)
	if err != nil || len(secrets) == 0 {
		return doc, err
	}
	if len(doc) < 3 {
		return nil, fmt.Errorf("a record of %q that has no fields", secrets)
	}
	doc = doc[:len(doc)-1]
	for _, name := range secrets {
		key, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		doc = append(append(append(doc, ','), key...), `:"changed"`...)
	}
	return append(doc, '}'), nil
}

// Fields returns a record's fields by name, as JSON; nil for no record.
func Fields(record any) (map[string]json.RawMessage, error) {
	if record == nil {
		return nil, nil
	}
	doc, err := json.Marshal(record)
	if err != nil {
		return nil, err
	}
	var m map[string]json.RawMessage
	return m, json.Unmarshal(doc, &m)
}

func object(m map[string]json.RawMessage) (json.RawMessage, error) {
	if m == nil {
		return nil, nil
	}
	return json.Marshal(m)
}

// Difference is one field of a change, before and after; nil where that side has none.
type Difference struct {
	Field         string
	Before, After json.RawMessage
}

// Differences lists the fields of an entry's images, sorted by name.
func (e Entry) Differences() ([]Difference, error) {
	var before, after map[string]json.RawMessage
	for doc, into := range map[*json.RawMessage]*map[string]json.RawMessage{&e.Before: &before, &e.After: &after} {
		if len(*doc) > 0 {
			if err := json.Unmarshal(*doc, into); err != nil {
				return nil, err
			}
		}
	}
	names := slices.Collect(maps.Keys(before))
	for name := range after {
		if _, ok := before[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	list := make([]Difference, len(names))
	for i, name := range names {
		list[i] = Difference{name, before[name], after[name]}
	}
	return list, nil
}
