package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// images returns the before and after objects of a change: the whole record if there is only one side, otherwise the
// fields that differ. Secrets appear by name with the value "changed".
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

// whole returns the image of a new record. Nothing is left out, so the record need not be decoded.
func whole(record any, secrets []string) (json.RawMessage, error) {
	doc, err := json.Marshal(record)
	if err != nil || len(secrets) == 0 {
		return doc, err
	}
	if len(doc) < 3 {
		return nil, fmt.Errorf("a record without fields has secrets %q", secrets)
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

// Fields returns a record's fields as JSON by name; nil for a nil record.
func Fields(record any) (map[string]json.RawMessage, error) {
	if record == nil {
		return nil, nil
	}
	doc, err := json.Marshal(record)
	if err != nil {
		return nil, err
	}
	var m map[string]json.RawMessage
	err = json.Unmarshal(doc, &m)
	return m, err
}

func object(m map[string]json.RawMessage) (json.RawMessage, error) {
	if m == nil {
		return nil, nil
	}
	return json.Marshal(m)
}

// Difference is a changed field; Before or After is nil if that side lacks the field.
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
