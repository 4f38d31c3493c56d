package outfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// otherUser is the uid of user 65534, which plants files. The tests need root to create files of other users.
const otherUser = 65534

func write(t *testing.T, file, text string, mode fs.FileMode, uid int) {
	t.Helper()
	if err := errors.Join(os.WriteFile(file, []byte(text), mode), os.Chmod(file, mode)); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(file, uid, uid); err != nil {
			t.Fatal(err)
		}
	}
}

// folder is a folder of the mode below one that anybody may pass through.
func folder(t *testing.T, mode fs.FileMode) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "drop")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, mode)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func put(name, text string, secret bool) error {
	p, err := Locate(name)
	if err != nil {
		return err
	}
	defer p.Close()
	f, err := p.Pending(secret)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		return err
	}
	return f.Commit()
}

// M18: in a folder that others can write to, another user's link or file is refused; elsewhere the owner is kept.
func TestPending_OwnerLinkFolder(t *testing.T) {
	for _, tc := range []struct {
		name   string
		folder fs.FileMode
		uid    int
		link   bool
		want   bool
	}{
		{"own file, own folder", 0o755, 0, false, true},
		{"own link, own folder", 0o755, 0, true, true},
		{"own file, sticky folder", 0o777 | fs.ModeSticky, 0, false, true},
		{"own link, sticky folder", 0o777 | fs.ModeSticky, 0, true, true},
		{"other's file, own folder", 0o755, otherUser, false, true},
		{"other's link, own folder", 0o755, otherUser, true, true},
		{"other's file, sticky folder", 0o777 | fs.ModeSticky, otherUser, false, false},
		{"other's link, sticky folder", 0o777 | fs.ModeSticky, otherUser, true, false},
		{"other's file, open folder", 0o777, otherUser, false, false},
		{"other's link, open folder", 0o777, otherUser, true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if os.Geteuid() != 0 && tc.uid != 0 {
				return // only root can make another user's file
			}
			dir := folder(t, tc.folder)
			behind, name := filepath.Join(filepath.Dir(dir), "behind"), filepath.Join(dir, "x.csv")
			write(t, behind, "old", 0o640, 0)
			if tc.link {
				if err := os.Symlink(behind, name); err != nil {
					t.Fatal(err)
				}
				if os.Geteuid() == 0 {
					if err := os.Lchown(name, tc.uid, tc.uid); err != nil {
						t.Fatal(err)
					}
				}
			} else {
				write(t, name, "old", 0o640, tc.uid)
			}
			err := put(name, "new", false)
			if got := err == nil; got != tc.want {
				t.Fatalf("written: %t, %v", got, err)
			}
			if !tc.want && (!fault.Is(err, fault.Validation) || !strings.Contains(err.Error(), "belongs to another user ("+OwnerName(otherUser)+")")) {
				t.Errorf("%v", err)
			}
			text, err := os.ReadFile(name)
			if want := map[bool]string{true: "new", false: "old"}[tc.want]; err != nil || string(text) != want {
				t.Errorf("%q, %v", text, err)
			}
			info, err := os.Stat(name)
			if err != nil || info.Mode().Perm() != 0o640 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
			if os.Geteuid() == 0 && !tc.link && info.Sys().(*syscall.Stat_t).Uid != uint32(tc.uid) {
				t.Errorf("the owner changed to %d", info.Sys().(*syscall.Stat_t).Uid)
			}
			if entries, _ := os.ReadDir(dir); len(entries) != 1 {
				t.Errorf("the folder holds %v", entries)
			}
		})
	}
}

// M18: a folder on the way that another user planted as a link is refused as well.
func TestLocate_LinkOnTheWay(t *testing.T) {
	if os.Geteuid() != 0 {
		return // only root can make another user's link
	}
	dir := folder(t, 0o777|fs.ModeSticky)
	real := filepath.Join(filepath.Dir(dir), "real")
	if err := errors.Join(os.Mkdir(real, 0o755), os.Symlink(real, filepath.Join(dir, "sub")), os.Lchown(filepath.Join(dir, "sub"), otherUser, otherUser)); err != nil {
		t.Fatal(err)
	}
	if err := put(filepath.Join(dir, "sub", "x.csv"), "new", false); !fault.Is(err, fault.Validation) {
		t.Errorf("%v", err)
	}
}

// H8: a file with secrets is taken up only if it is the caller's own, closed to others, and named itself.
func TestResume_OwnerModeLink(t *testing.T) {
	for _, tc := range []struct {
		name string
		mode fs.FileMode
		uid  int
		link string
		want bool
	}{
		{"own", 0o600, 0, "", true},
		{"own, readable by others", 0o644, 0, "", false},
		{"another user's", 0o600, otherUser, "", false},
		{"own, through a link", 0o600, 0, "symbolic", false},
		{"own, with a second name", 0o600, 0, "hard", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if os.Geteuid() != 0 && tc.uid != 0 {
				return // only root can make another user's file
			}
			dir := folder(t, 0o700)
			name := filepath.Join(dir, "p.csv")
			write(t, name, "x", tc.mode, tc.uid)
			var err error
			switch tc.link {
			case "symbolic":
				err = os.Symlink(name, filepath.Join(dir, "link"))
				name = filepath.Join(dir, "link")
			case "hard":
				err = os.Link(name, filepath.Join(dir, "second"))
			}
			if err != nil {
				t.Fatal(err)
			}
			p, err := Locate(name)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			f, err := p.Resume()
			if got := err == nil; got != tc.want {
				t.Errorf("taken up: %t, %v", got, err)
			}
			if err == nil {
				_ = f.Close()
			}
			if _, err := p.Create(0o600); !errors.Is(err, fs.ErrExist) && tc.link != "symbolic" {
				t.Errorf("made anew: %v", err)
			}
		})
	}
}

func TestLocate_Names(t *testing.T) {
	dir := folder(t, 0o755)
	write(t, filepath.Join(dir, "a"), "", 0o644, 0)
	if err := errors.Join(os.Symlink("a", filepath.Join(dir, "l")), os.Symlink("loop", filepath.Join(dir, "loop")),
		os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "h"))); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	at := func(name string) *Place {
		p, err := Locate(name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		t.Cleanup(p.Close)
		return p
	}
	for _, same := range [][2]string{{"a", "./a"}, {"a", dir + "/a"}, {"a", "l"}, {"a", "h"}, {"new", "../drop/new"}, {"/dev/stdout", "/dev/fd/1"}} {
		if !at(same[0]).IsSame(at(same[1])) {
			t.Errorf("%v are not the same", same)
		}
	}
	for _, other := range [][2]string{{"a", "b"}, {"new", "newer"}, {"/dev/null", "/dev/null"}} {
		if at(other[0]).IsSame(at(other[1])) {
			t.Errorf("%v are the same", other)
		}
	}
	for _, bad := range []string{"", ".", "loop", "missing/x", "a/x", dir, "/dev/"} {
		if p, err := Locate(bad); err == nil {
			p.Close()
			t.Errorf("%q was located", bad)
		}
	}
	if long := strings.Repeat("송장", 40) + ".csv"; put(long, "x", false) != nil { // a name that leaves no room for a longer one
		t.Errorf("%s was not written", long)
	}
}

// F36: where the folder refuses new files, the error names the folder.
func TestPending_FolderRefuses(t *testing.T) {
	p, err := Locate("/sys/x.csv") // even root cannot create files there
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	_, pending := p.Pending(false)
	_, created := p.Create(0o600)
	for _, err := range []error{pending, created} {
		if !errors.Is(err, fs.ErrPermission) || !strings.HasSuffix(err.Error(), " for new files in /sys") {
			t.Errorf("error: %v", err)
		}
	}
}
