package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// secretFiles are the commands that write a new secret to OUT: alone, or with -o json in the record. The last one begins
// the enforcement of permissions.
var secretFiles = []string{
	"auth token --create --name other --permissions USER_LIST --token-out OUT",
	"auth token --access --config DIR/jwt.yaml --token-out OUT",
	"auth token --refresh --config DIR/jwt.yaml --token-out OUT",
	"keys rotate job --token-out OUT",
	"users create --username eve --email eve@example.com --full-name Eve --password-out OUT",
	"users ensure --username eva --email eva@example.com --full-name Eva --password-out OUT",
	"users password ada --generate-password --password-out OUT",
	"users password ada admin --generate-password --password-out OUT",
	"keys rotate other -o json --output-file OUT",
	"users create --username eno --email eno@example.com --full-name Eno --generate-password -o json --output-file OUT",
	"users import DIR/new.csv --generate-passwords --passwords-out OUT",
	"auth bootstrap --username boss --email boss@example.com --full-name Boss --password-out OUT --yes",
}

// secretState digests what the commands of secretFiles change.
const secretState = `SELECT md5(concat((SELECT string_agg(u::text, '' ORDER BY id) FROM idam.users u),
	(SELECT string_agg(k::text, '' ORDER BY id) FROM idam.api_keys k), (SELECT string_agg(s::text, '' ORDER BY id) FROM idam.sessions s),
	(SELECT string_agg(r::text, '' ORDER BY id) FROM idam.user_roles r)))`

// refuseSuccess makes the database refuse every successful change at its commit, while ada is called Refused.
const refuseSuccess = `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
	IF EXISTS (SELECT FROM idam.users WHERE full_name = 'Refused') THEN RAISE EXCEPTION 'refused'; END IF; RETURN NULL; END$$;
	CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON audt.audit_logs DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (new.result = 'SUCCESS') EXECUTE FUNCTION refuse()`

// A secret is in its file before it is valid: a file that cannot be written changes nothing, and a change that is not
// committed leaves no file.
func TestSecretFiles_WrittenBeforeTheChange(t *testing.T) {
	if testing.Short() {
		t.Skip("the scripts of the commands check their files")
	}
	t.Parallel()
	w := newSecretWorld(t)
	w.sql(t, refuseSuccess)
	full, existing := smallDisk(t, 1), filepath.Join(w.dir, "existing")
	for i, command := range secretFiles {
		record, imports := strings.Contains(command, "--output-file"), strings.Contains(command, "import")
		before := ask(t, w.pair.Manager, secretState)
		refused := func(file string, code int, why string, more ...string) {
			t.Helper()
			got, said := runInProcess(t, w.pair, map[string]string{"CXGCTL_OPERATOR": "admin"}, append(w.args(command, file), more...)...)
			if got != code || !strings.Contains(said, why) {
				t.Errorf("%s with %s exits with %d, want %d:\n%s", command, file, got, code, said)
			}
			if ask(t, w.pair.Manager, secretState) != before {
				t.Errorf("%s with %s changed something", command, file)
			}
		}
		refused(filepath.Join(w.dir, "no", "where"), 74, "no such file or directory")
		refused("/sys/cxgctl", 74, "/sys/cxgctl")
		if full != "" {
			refused(filepath.Join(full, "f"), 74, "no space left on device")
			if list, err := os.ReadDir(full); err != nil || len(list) != 1 {
				t.Errorf("%s leaves files on the full disk: %v %v", command, list, err)
			}
		}
		if !record {
			refused(existing, 5, "existing")
			refused(existing, 5, "existing", "--dry-run")
		}
		if text, err := os.ReadFile(existing); err != nil || string(text) != "kept\n" {
			t.Errorf("%s changed the existing file to %q: %v", command, text, err)
		}
		out := filepath.Join(w.dir, fmt.Sprintf("out%d", i))
		refused(out, 0, "nothing was changed", "--dry-run")
		if record { // of the dry run
			_ = os.Remove(out)
		}
		isGone(t, out, out+".secret")
		if imports { // it keeps the file for the run that continues it
			continue
		}
		w.sql(t, `UPDATE idam.users SET full_name = 'Refused' WHERE username = 'ada'`)
		before = ask(t, w.pair.Manager, secretState)
		refused(out, 8, "refused")
		isGone(t, out, out+".secret")
		w.sql(t, `UPDATE idam.users SET full_name = 'Ada' WHERE username = 'ada'`)
		before = ask(t, w.pair.Manager, secretState)

		lost := func(net.Conn, net.Conn, []byte) {}
		w.through(t, lost, command, out).exits(t, 8).says(t, "nothing was changed")
		isGone(t, out, out+".secret")
		if ask(t, w.pair.Manager, secretState) != before {
			t.Errorf("%s changed something with a lost COMMIT", command)
		}
		unanswered := func(_, server net.Conn, message []byte) { answered(server, message) }
		w.through(t, unanswered, command, out).exits(t, 0)
		text, err := os.ReadFile(out)
		info, _ := os.Stat(out)
		if err != nil || len(text) < 20 || info.Mode() != 0o600 {
			t.Errorf("%s writes %d bytes: %v", command, len(text), err)
		}
		isGone(t, out+".secret")
		if ask(t, w.pair.Manager, secretState) == before {
			t.Errorf("%s changes nothing", command)
		}
	}
}

// A record that cannot be written after the commit leaves its secret in a file beside it.
func TestSecretFiles_RecordCannotBeWritten(t *testing.T) {
	t.Parallel()
	w := newSecretWorld(t)
	disk := smallDisk(t, 2)
	if disk == "" {
		return
	}
	out := filepath.Join(disk, "f.json")
	p := cxgctl(t, w.pair, w.args("keys rotate job -o json --output-file OUT", out)...).exits(t, 74)
	p.says(t, "the change was made, but its record cannot be printed")
	p.says(t, "the secret is in "+out+".secret")
	isGone(t, out)
	cxgctl(t, w.pair, "users", "list").env("CXGCTL_OPERATOR=", "CXGCTL_TOKEN_FILE="+out+".secret").exits(t, 0)
}

// secretWorld is a database with the key job, and a folder with the files of secretFiles.
type secretWorld struct {
	pair dbtest.Pair
	dir  string
}

func newSecretWorld(t *testing.T) secretWorld {
	t.Helper()
	w := secretWorld{withAda(t), t.TempDir()}
	for name, text := range map[string]string{
		"jwt":      "a secret of the backend that is long enough",
		"jwt.yaml": "profile: p\nprofiles:\n  p: {auth: {jwt_secret_file: jwt}}\n",
		"new.csv":  "username,email,full_name\nnew1,new1@example.com,New\n",
		"existing": "kept\n",
	} {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cxgctl(t, w.pair, "auth", "token", "--create", "--name", "job", "--permissions", "USER_LIST").exits(t, 0)
	return w
}

func (w secretWorld) sql(t *testing.T, sql string) {
	t.Helper()
	if _, err := query(t.Context(), w.pair.Manager, sql); err != nil {
		t.Fatal(err)
	}
}

// args returns the arguments of a command that writes its secret to a file.
func (w secretWorld) args(command, out string) []string {
	return strings.Fields(strings.NewReplacer("OUT", out, "DIR", w.dir).Replace(command))
}

// through prepares a run of a command whose COMMIT has a fate.
func (w secretWorld) through(t *testing.T, fate func(client, server net.Conn, message []byte), command, out string) *process {
	t.Helper()
	_, dsn := newProxy(t, w.pair, "tcp", "COMMIT\x00", fate)
	return cxgctl(t, w.pair, w.args(command, out)...).env("CXGCTL_MANAGER_DATABASE_URL=" + dsn)
}

// smallDisk mounts a disk with room for one page less than pages, or returns "" if only root may do that.
func smallDisk(t *testing.T, pages int) string {
	t.Helper()
	dir, page := t.TempDir(), os.Getpagesize()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", pages*page)); err != nil {
		return ""
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, page), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func isGone(t *testing.T, files ...string) {
	t.Helper()
	for _, f := range files {
		if _, err := os.Stat(f); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left: %v", f, err)
		}
	}
}
