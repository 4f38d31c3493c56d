package config

import (
	"bytes"
	"os"
	"regexp"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/outfile"
)

// Editing is a configuration file that is about to be replaced.
type Editing struct {
	Path   string
	Text   []byte
	source source
}

// Edit reads the file that Load reads, without checking its content.
func Edit(f Flags, getenv func(string) string, dir string) (Editing, error) {
	s, err := open(f, getenv, dir)
	switch {
	case err != nil:
		return Editing{}, err
	case s.path == "":
		return Editing{}, fault.New(fault.NotFound, "no configuration file was found").
			WithHint("`cxgctl config init` writes one")
	case s.info == nil:
		return Editing{}, fault.New(fault.Usage, "standard input cannot be edited").WithHint("name a file with --config")
	}
	return Editing{s.path, s.text, s}, nil
}

// Check returns what Load would refuse of the text in place of the file's. Messages call the file path.
func (e Editing) Check(path string, text []byte) error {
	s := e.source
	s.path, s.text = path, text
	_, err := decode(s)
	return err
}

// Replace puts the text in place of the file's, atomically and with the same mode. It is a CONFLICT if the file has
// changed since Edit.
func (e Editing) Replace(text []byte) error {
	if err := e.Check(e.Path, text); err != nil {
		return err
	}
	failed := func(err error) error {
		if _, ok := err.(*fault.Error); ok || err == nil { //nolint:errorlint // outfile returns it as it is
			return err
		}
		return fault.New(fault.FileCode(err), "configuration %s cannot be written: %s", e.Path, fault.Reason(err)).Because(err)
	}
	if now, err := os.ReadFile(e.Path); err != nil || !bytes.Equal(now, e.Text) {
		return fault.New(fault.Conflict, "configuration %s was changed meanwhile", e.Path).WithHint("run the command again")
	}
	place, err := outfile.Locate(e.Path)
	if err != nil {
		return failed(err)
	}
	defer place.Close()
	file, err := place.Pending(false)
	if err != nil {
		return failed(err)
	}
	defer file.Abort()
	if _, err := file.Write(text); err != nil {
		return failed(err)
	}
	return failed(file.Commit())
}

var (
	profileLine  = regexp.MustCompile(`(?m)^(profile[ \t]*:[ \t]*)("[^"\n]*"|'[^'\n]*'|[A-Za-z0-9._-]*)([ \t]*(?:#.*)?\r?)$`)
	profilesLine = regexp.MustCompile(`(?m)^profiles[ \t]*:`)
)

// UseProfile makes name the default profile of the file. It changes nothing else in it.
func (e Editing) UseProfile(name string) error {
	doc, err := decode(e.source)
	if err != nil {
		return err
	}
	if _, known := doc.profiles[name]; !known {
		return fault.New(fault.NotFound, "profile %q is not in %s", name, e.Path).WithHint("%s", doc.suggestProfile(name))
	}
	if doc.chosen == name {
		return nil
	}
	var text []byte
	if at := profileLine.FindSubmatchIndex(e.Text); at != nil {
		text = append(append(append(text, e.Text[:at[4]]...), name...), e.Text[at[5]:]...)
	} else if at := profilesLine.FindIndex(e.Text); at != nil && doc.chosen == "" {
		text = append(append(append(text, e.Text[:at[0]]...), "profile: "+name+"\n"...), e.Text[at[0]:]...)
	}
	after := e.source
	after.text = text
	if changed, err := decode(after); err != nil || changed.chosen != name {
		return fault.New(fault.Validation, "%s: the line \"profile: …\" cannot be changed safely", e.Path).
			WithHint("change it with: cxgctl config edit")
	}
	return e.Replace(text)
}
