package output

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// Personal are the fields that Options.Mask masks.
var Personal = map[string]bool{"email": true, "phone": true}

// mask masks a value except for the first letter and the domain of an e-mail address, and the last two digits
// of a phone number.
func mask(field, s string) string {
	if s == "" {
		return s
	}
	if at := strings.LastIndexByte(s, '@'); field == "email" && at > 0 {
		_, size := utf8.DecodeRuneInString(s)
		return s[:size] + "***" + s[at:]
	}
	if r := []rune(s); field == "phone" && len(r) > 4 {
		return "***" + string(r[len(r)-2:])
	}
	return "***"
}

// MaskJSON masks the value of a personal field, unless it is null. In objects, such as images of records, it masks
// all personal fields.
func MaskJSON(field string, v json.RawMessage) json.RawMessage {
	var text string
	var list []json.RawMessage
	var object map[string]json.RawMessage
	var masked any
	switch {
	case Personal[field] && json.Unmarshal(v, &text) == nil && string(v) != "null":
		masked = mask(field, text)
	case len(v) > 0 && v[0] == '[' && json.Unmarshal(v, &list) == nil:
		for i := range list {
			list[i] = MaskJSON(field, list[i])
		}
		masked = list
	case len(v) > 0 && v[0] == '{' && json.Unmarshal(v, &object) == nil:
		for name, value := range object {
			object[name] = MaskJSON(name, value)
		}
		masked = object
	default:
		return v
	}
	doc, err := json.Marshal(masked)
	if err != nil {
		return v
	}
	return doc
}
