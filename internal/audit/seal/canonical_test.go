package seal

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// Stored seals are over these bytes, so they must never change.
var canonicalJSON = []struct{ doc, form string }{
	{` { "b" : [ 1 , 2 ] , "a" : { } } `, `{"a":{},"b":[1,2]}`},
	{`{"aa": 1, "b": 2, "a": 3, "": 4, "B": 5}`, `{"":4,"B":5,"a":3,"aa":1,"b":2}`},
	{`{"a": 1, "b": 2, "a": 3}`, `{"a":3,"b":2}`},
	{`{"\u0061": 1, "b": 2, "a": {"c": null}}`, `{"a":{"c":null},"b":2}`},
	{`{"\uffff": 1, "\ud83d\ude00": 2, "é": 3, "z": 4}`, "{\"z\":4,\"é\":3,\"\uffff\":1,\"😀\":2}"},
	{`{"a\"": 1, "a!": 2, "a\\": 3, "a\n": 4}`, `{"a\u000a":4,"a!":2,"a\"":1,"a\\":3}`},
	{
		`[9007199254740993, 123456789012345678901234567890, 1.10, 0.0000001, 12000.50]`,
		`[9007199254740993,123456789012345678901234567890,1.10,0.0000001,12000.50]`,
	},
	{`[0, -0, -0.000, 1e3, 1E-7, 1e400, -1.5e+10]`, `[0,-0,-0.000,1e3,1E-7,1e400,-1.5e+10]`},
	{`"\b\f\n\r\t\u001F\u0000\/\\\""`, `"\u0008\u000c\u000a\u000d\u0009\u001f\u0000/\\\""`},
	{`"\u007f\u2028\u003c\u00E9\uD83D\uDE00<>&"`, "\"\x7f\u2028<é😀<>&\""},
	{"\"bad \xff\\n\xfe\"", "\"bad \xff\\u000a\xfe\""},
	{`[true, false, null, [[]], ""]`, `[true,false,null,[[]],""]`},
}

func TestCanonicalJSON(t *testing.T) {
	t.Parallel()
	for _, c := range canonicalJSON {
		if form, err := CanonicalJSON([]byte(c.doc)); err != nil || string(form) != c.form {
			t.Errorf("%s\n is %s\nnot %s (%v)", c.doc, form, c.form, err)
		}
	}
	for _, doc := range []string{``, `{`, `{"a"}`, `[1,]`, `nul`, `1 2`, `"\ud83d"`, `"\ud83d\n\ude00"`, `"\x"`, "\"\n\""} {
		if form, err := CanonicalJSON([]byte(doc)); err == nil {
			t.Errorf("%q has the canonical form %q", doc, form)
		}
	}
}

// The canonical form of a row and its hashes.
func TestSeal_Golden(t *testing.T) {
	t.Parallel()
	var docs []string
	for _, c := range canonicalJSON {
		docs = append(docs, c.doc)
	}
	s := &Sealer{fields: []sealedField{
		{name: "created_at", kind: kindTime},
		{name: "deleted", kind: kindBool},
		{name: "description", kind: kindText},
		{name: "extra_data", kind: kindJSON},
		{name: "id", kind: kindUUID},
		{name: "user_id", kind: kindUUID},
	}}
	values := [][]byte{
		binary.BigEndian.AppendUint64(nil, 849_225_600_123_456),
		{1},
		[]byte("강은지 \"x\"\n"),
		[]byte("\x01[" + strings.Join(docs, ",") + "]"), []byte("0123456789abcdef"), nil,
	}
	formats := make([]pgconn.FieldDescription, len(values))
	for i := range formats {
		formats[i].Format = 1
	}
	form, err := s.appendRow(nil, originCLI, 1_795_910_400_123_456, values, formats)
	if err != nil {
		t.Fatal(err)
	}
	leaf := leafOf(form)
	chain := chainOf(make([]byte, len(leaf)), leaf[:])
	for _, c := range []struct{ what, got, want string }{
		{"start of the form", hex.EncodeToString(form[:80]), "02630006615ef972a240060a637265617465645f617401080006615ef972a2400764656c6574656401" +
			"01010b6465736372697074696f6e010eeab095ec9d80eca780202278220a0a65787472615f6461"},
		{"leaf", hex.EncodeToString(leaf[:]), "e257edde7624094024ec52028ee3a6dc78664b722870bda2225ffd403036fc3a"},
		{"chain", hex.EncodeToString(chain[:]), "02933a87e997b2b8a2bff5e0d08ca395dbdf33b7f1f0d2c2038d703dbf90209d"},
	} {
		if c.got != c.want {
			t.Errorf("%s is %s, want %s", c.what, c.got, c.want)
		}
	}
}
