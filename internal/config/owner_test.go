package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// F17, N3, C3: which files in the working folder count.
func TestOwnership(t *testing.T) {
	t.Parallel()
	const ada, bob, staff, shared = 1000, 1001, 1000, 50
	ordinary := identity{[]int{ada}, []int{staff}}
	root := identity{[]int{0}, []int{0}}
	sudo := identity{[]int{0, ada}, []int{0, staff}}
	const alien, everyone, group, open = "belongs to another user", "can be changed by everyone", "can be changed by a group", "is in a folder"
	for _, c := range []struct {
		who          identity
		owner, group int
		mode, folder fs.FileMode
		want         string // why not
	}{
		{ordinary, ada, staff, 0o600, 0o755, ""},
		{ordinary, ada, staff, 0o664, 0o775, ""},
		{ordinary, ada, shared, 0o644, 0o755, ""},
		{ordinary, ada, shared, 0o664, 0o755, group},
		{ordinary, ada, staff, 0o646, 0o755, everyone},
		{ordinary, ada, staff, 0o600, 0o777, open},
		{ordinary, ada, staff, 0o600, fs.ModeSticky | 0o777, open},
		{ordinary, bob, staff, 0o644, 0o755, alien},
		{ordinary, 0, 0, 0o644, 0o755, alien},
		{root, 0, 0, 0o644, 0o755, ""},
		{root, ada, staff, 0o600, 0o755, alien},
		{root, 0, 0, 0o644, fs.ModeSticky | 0o777, open},
		{sudo, 0, 0, 0o644, 0o755, ""},
		{sudo, ada, staff, 0o664, 0o755, ""},
		{sudo, bob, staff, 0o600, 0o755, alien},
		{sudo, ada, shared, 0o660, 0o755, group},
	} {
		f := ownership{owner: c.owner, link: c.owner, group: c.group, mode: c.mode, folder: c.folder}
		if got := c.who.whyDistrusts(f); !strings.HasPrefix(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%+v: %q, want %q", f, got, c.want)
		}
	}
	if got := ordinary.whyDistrusts(ownership{owner: ada, link: bob, group: staff, mode: 0o600, folder: 0o755}); !strings.HasPrefix(got, alien) {
		t.Errorf("another user's link to a file of ours: %q", got)
	}
	if got := ordinary.whyDistrusts(ownership{owner: ada, link: ada, group: staff, mode: fs.ModeNamedPipe | 0o600, folder: 0o755}); got != "is not a regular file" {
		t.Errorf("a pipe: %q", got)
	}
}

// SUDO_UID counts for root alone.
func TestIdentity_Sudo(t *testing.T) {
	t.Parallel()
	us := currentIdentity(env("SUDO_UID", "12345", "SUDO_GID", "12346"))
	if root := os.Geteuid() == 0; us.is(12345) != root || us.isGroup(12346) != root || !us.is(os.Geteuid()) {
		t.Errorf("%+v as uid %d", us, os.Geteuid())
	}
}

// A file that is not trusted is an error with the way out, not passed over: the next one in the order may be of another
// database.
func TestLoad_UntrustedFile(t *testing.T) {
	t.Parallel()
	const text = "profile: p\nprofiles:\n  p:\n    operator: eve\n"
	dir := folder(t, ".cxgctl.yaml", text)
	path := filepath.Join(dir, ".cxgctl.yaml")
	refused := func(why string, getenv func(string) string) {
		t.Helper()
		_, err := Load(Flags{}, getenv, dir)
		if !fault.Is(err, fault.Validation) || err.Error() != "configuration "+path+" "+why {
			t.Errorf("%v; want %q", err, why)
		}
		if hint := fault.From(err).Hint; !strings.Contains(hint, "--config "+path) {
			t.Errorf("hint %q", hint)
		}
		if _, list := Path(Flags{}, getenv, dir); list[0].State != "refused" {
			t.Errorf("config path says %q", list[0].State)
		}
		if c := load(t, Flags{ConfigFile: path}, getenv, dir); c.Operator != "eve" {
			t.Errorf("named, the file gives operator %q", c.Operator)
		}
	}
	chmod := func(name string, mode os.FileMode) {
		t.Helper()
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	load(t, Flags{}, env(), dir)
	chmod(path, 0o666)
	refused("can be changed by everyone", env())
	chmod(path, 0o644)
	chmod(dir, 0o777)
	refused("is in a folder that everyone can write to", env())
	chmod(dir, 0o777|os.ModeSticky)
	refused("is in a folder that everyone can write to", env())
	chmod(dir, 0o755)
	if os.Geteuid() != 0 {
		return // only root can give a file away
	}
	if err := os.Chown(path, 12345, -1); err != nil {
		t.Fatal(err)
	}
	refused("belongs to another user (uid 12345)", env())
	if c := load(t, Flags{}, env("SUDO_UID", strconv.Itoa(12345)), dir); c.Operator != "eve" {
		t.Errorf("under sudo: operator %q", c.Operator)
	}
}
