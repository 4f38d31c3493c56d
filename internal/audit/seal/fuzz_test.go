package seal

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

// decoded decodes a document with encoding/json, keeping the spelling of numbers.
func decoded(doc []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

// The canonical form of a document has the same meaning, is its own canonical form, and is never made from invalid
// JSON.
func FuzzCanonicalJSON(f *testing.F) {
	for _, doc := range []string{
		`{"b": 1e2, "aa": [1.10, -0, "\u00e9\n"], "a": null}`, `{"a":1,"a":2}`, `"\ud83d\ude00"`, `"\ud83d"`, `[[[]]]`, `{"":{"":{}}}`,
		`"\u0000"`, `"\/"`, ` { "z" : true , "y" : false } `, `1`, `-`, `{"a"}`, `[1,]`, "\"\t\"", `{"é":1,"e\u0301":2,"z":3}`, ``, `nul`,
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		form, err := CanonicalJSON(doc)
		if err != nil {
			return
		}
		again, err := CanonicalJSON(form)
		if err != nil || !bytes.Equal(form, again) {
			t.Fatalf("%q has the canonical form %q, and that has %q (%v)", doc, form, again, err)
		}
		// PostgreSQL returns valid JSON only
		if !json.Valid(doc) {
			return
		}
		want, err := decoded(doc)
		if err != nil {
			return
		}
		got, err := decoded(form)
		if err != nil || !reflect.DeepEqual(want, got) {
			t.Fatalf("%q means %v, its canonical form %q means %v (%v)", doc, want, form, got, err)
		}
	})
}

// Any bytes are either parsed or refused, and a parsed form does not differ from itself.
func FuzzParseCanon(f *testing.F) {
	b := appendHeader(nil, originCLI, 1, 2)
	for _, field := range []sealedField{{name: "a", kind: kindText}, {name: "b", kind: kindJSON}} {
		b, _ = appendField(b, field, 0, []byte(`{"x":1}`))
	}
	f.Add(b)
	f.Add(appendHeader(nil, originForeign, -1, 0))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parseCanon(b)
		if err != nil {
			return
		}
		if names, dropped, err := changed(b, b); err != nil || len(names) > 0 || len(dropped) > 0 {
			t.Fatalf("%x differs from itself: %v %v %v", b, names, dropped, err)
		}
		if len(p.names) != len(p.fields) {
			t.Fatalf("%x: %d names of %d fields", b, len(p.names), len(p.fields))
		}
	})
}

// The stored form can be anything once the table was tampered with.
func FuzzUnpack(f *testing.F) {
	f.Add(Compress([]byte("something")))
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd})
	f.Fuzz(func(t *testing.T, b []byte) {
		u, err := newDecompressor()
		if err != nil {
			t.Fatal(err)
		}
		defer u.close()
		_, _ = u.decompress(b, 1<<20)
	})
}

func FuzzCheckpoint(f *testing.F) {
	private, public, err := note.GenerateKey(zeroes{}, keyName)
	if err != nil {
		f.Fatal(err)
	}
	signer, _ := note.NewSigner(private)
	verifier, _ := note.NewVerifier(public)
	good := Checkpoint{Size: 3, Chain: make([]byte, 32)}
	signed, err := note.Sign(&note.Note{Text: good.text()}, signer)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed)
	f.Add([]byte(good.text()))
	f.Add([]byte("cxgctl audit checkpoint v1\n-1\n\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if c, err := openCheckpoint(text, note.VerifierList(verifier)); err == nil && c.text() != good.text() {
			t.Fatalf("an unsigned checkpoint is accepted: %q", text)
		}
		if c, err := parseCheckpoint(string(text)); err == nil && c.text() != string(text) {
			t.Fatalf("%q is parsed as %+v", text, c)
		}
	})
}

// zeroes is a source of randomness for test keys.
type zeroes struct{}

func (zeroes) Read(b []byte) (int, error) { return len(b), nil }
