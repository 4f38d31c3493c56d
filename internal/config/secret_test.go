package config

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// F20, F53: links, pipes and what a group may read are accepted; what others may read or another user owns is not.
func TestPassword(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		write(t, filepath.Join(dir, name), text, mode)
		return filepath.Join(dir, name)
	}
	link := func(name, to string) string {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "..2026_11_28"), 0o755); err != nil {
		t.Fatal(err)
	}
	file("..2026_11_28/db", canary, 0o440)
	link("..data", "..2026_11_28")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	go func() { // as a process substitution does
		_, _ = w.WriteString(canary + "\n")
		_ = w.Close()
	}()
	for path, want := range map[string]string{
		file("plain", canary, 0o600):              canary,
		file("newline", canary+"\n", 0o400):       canary,
		file("crlf", canary+"\r\n", 0o600):        canary,
		file("mark", "\ufeff"+canary, 0o600):      canary,
		file("spaces", " a b ", 0o600):            " a b ",
		file("group", canary, 0o440):              canary,
		link("link", file("target", "x", 0o600)):  "x",
		link("mounted", "..data/db"):              canary,
		link("to open", file("o", canary, 0o644)): "! is open to others",
		link("loop", "loop"):                      "! is a link that leads to itself",
		fmt.Sprintf("/dev/fd/%d", r.Fd()):         canary,
		file("others", canary, 0o604):             "! is open to others | chmod 600 ",
		file("everyone", canary, 0o666):           "! is open to others | chmod 600 ",
		file("executable", canary, 0o601):         "! is open to others",
		file("empty", "", 0o600):                  "! is empty",
		file("newlines", "\n", 0o600):             "! is empty",
		file("two", canary+"\n\n", 0o600):         "! must contain one line",
		file("lines", canary+"\nx", 0o600):        "! must contain one line",
		file("nul", canary+"\x00", 0o600):         "! must contain one line",
		file("huge", canary+big, 0o600):           "! is larger than 4 KiB",
		pipe:                                      "! is empty",
		dir:                                       "! is neither a regular file nor a pipe",
		"/dev/null":                               "! is neither a regular file nor a pipe",
		filepath.Join(dir, "missing"):             "! does not exist",
		filepath.Join(dir, "plain", "nonsense"):   "! cannot be read",
	} {
		got, err := Config{Settings: Settings{PasswordFile: path}}.Password(t.Context())
		if message, refused := strings.CutPrefix(want, "!"); refused {
			message, hint, _ := strings.Cut(message, " | ")
			if got != "" || !fault.Is(err, fault.Validation) || !strings.HasPrefix(err.Error(), "password_file "+path+message) {
				t.Errorf("%s: %q, %v; want%s", path, got, err, message)
			} else if !strings.HasPrefix(fault.From(err).Hint, hint) || strings.Contains(told(err), canary) {
				t.Errorf("%s: told %s", path, told(err))
			}
			continue
		}
		if got != want || err != nil {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	// $CREDENTIALS_DIRECTORY is systemd's, which sets owner and mode
	inside := Config{Settings: Settings{PasswordFile: file("set by systemd", canary, 0o444)}, credentials: dir}
	if got, err := inside.Password(t.Context()); got != canary || err != nil {
		t.Errorf("a credential: %q, %v", got, err)
	}
	outside := Config{Settings: Settings{PasswordFile: inside.PasswordFile}, credentials: t.TempDir()}
	if _, err := outside.Password(t.Context()); !fault.Is(err, fault.Validation) {
		t.Errorf("another folder's: %v", err)
	}
	escaped := t.TempDir()
	if err := os.Symlink(inside.PasswordFile, filepath.Join(escaped, "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := (Config{Settings: Settings{PasswordFile: filepath.Join(escaped, "link")}, credentials: escaped}).Password(t.Context()); !fault.Is(err, fault.Validation) {
		t.Errorf("a link that leads out: %v", err)
	}
	if os.Geteuid() == 0 { // only root can change the owner of a file
		path := file("foreign", canary, 0o600)
		if err := os.Chown(path, 12345, -1); err != nil {
			t.Fatal(err)
		}
		if _, err := (Config{Settings: Settings{PasswordFile: path}}).Password(t.Context()); err == nil || !strings.HasSuffix(err.Error(), "belongs to another user (uid 12345)") {
			t.Errorf("foreign: %v", err)
		}
	}
}

var big = strings.Repeat("x", 5000)

func TestLoad_FileWithPassword(t *testing.T) {
	t.Parallel()
	for _, secret := range secrets {
		text := "profiles:\n  p:\n    manager_database_url: '" + strings.ReplaceAll(secret, "'", "''") + "'\n"
		dir := folder(t, "a file.yaml", text)
		path := filepath.Join(dir, "a file.yaml")
		for _, mode := range []os.FileMode{0o644, 0o640, 0o604, 0o660} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			_, err := Load(Flags{ConfigFile: path}, env(), dir)
			if want := "configuration " + path + " holds a password and is open to group or others"; err == nil || err.Error() != want {
				t.Fatalf("%s with mode %o: %v", secret, mode, err)
			}
			if hint := fault.From(err).Hint; hint != "chmod 600 '"+path+"'" || strings.Contains(told(err), canary) {
				t.Errorf("told: %s", told(err))
			}
		}
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(Flags{ConfigFile: path}, env(), dir); err != nil && strings.Contains(err.Error(), "holds") {
			t.Errorf("closed, and refused: %v", err)
		}
	}
	dir := folder(t, ".cxgctl.yaml", full)
	if err := os.Chmod(filepath.Join(dir, ".cxgctl.yaml"), 0o644); err != nil {
		t.Fatal(err)
	}
	load(t, Flags{}, env(), dir) // no password in it
}

func TestHoldsPassword_False(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "ada", "postgres://h/db", "postgres://u@h:5432/db", "postgres://u@h1:5432,h2:5432/db?x=y", "postgres://u:@h/db",
		"host=h user=u passfile=/x", "postgres://h:5432/db", "host=h password=", "~/password", "postgres://u@h:5432/?options=a:b",
	} {
		if holdsPassword(text) {
			t.Errorf("%q holds no password", text)
		}
	}
}

// F15: of a connection string that would be split within the password nothing is taken for a host, a port or a database.
func TestNormalize_Malformed(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"postgres://app:Tr0ub@dor#3x@127.0.0.1/mgmt", "postgres://app:Tr0ub#dor@127.0.0.1/mgmt", "postgres://app:12#dor@127.0.0.1/mgmt",
		"postgres://app:12/dor@127.0.0.1/mgmt", "postgres://app:Tr0ub/dor@127.0.0.1/mgmt", "postgres://app:12?dor@127.0.0.1/mgmt",
		"postgres://app:Tr0ub dor@127.0.0.1/mg mt@x", "postgres://app@127.0.0.1/mgmt@dor", "postgres://app@dor:Tr0ub:12/mgmt",
		"postgres://app@dor Tr0ub/mgmt", "postgres://app@dor$3x/mgmt", "postgres://app@h1,dor!:5432/mgmt",
		"postgresql+asyncpg://app:Tr0ub@dor#3x@127.0.0.1/mgmt",
	} {
		if _, problem := normalize(text); !strings.HasPrefix(problem, "is malformed") || strings.Contains(problem, "dor") {
			t.Errorf("%q: %q", text, problem)
		}
	}
	for _, text := range []string{
		"postgres://", "postgres:///db", "postgres://h", "postgres://u@h1:1,h2:2,h3/db?x=y", "postgres://u@[::1]:5432/db", "postgres://u@[fe80::1%25eth0]/db",
		"postgres://%2Fvar%2Frun/db", "postgres://u@%2Fvar%2Frun:5432/db", "postgres://u:p%40%23%2F@h/db", "postgres://u:a@b@h/db", "postgres://u:a:b@h/db",
		"postgres://u@db-{code}.x/tnnt_{code}", "postgres://u@호스트/db", "postgres://u@h/db?user=a@b", "postgres:///db?host=/run/x",
	} {
		if _, problem := normalize(text); problem != "" {
			t.Errorf("%q: %q", text, problem)
		}
	}
}

func TestNormalize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"postgres://u@h/db":                 "postgresql://u@h/db",
		" PostgreSQL://u@h/db ":             "postgresql://u@h/db",
		"postgresql+asyncpg://u@h/db":       "postgresql://u@h/db",
		"postgres+asyncpg://h/{code}":       "postgresql://h/{code}",
		"postgresql+asyncpg:///db?host=/s":  "postgresql:///db?host=/s",
		"host=h password=a://b":             "host=h password=a://b",
		"postgres://u:p%40@h/db?sslmode=no": "postgresql://u:p%40@h/db?sslmode=no",
		"postgresql+asyncpg://u:p@h/db?ssl=require&command_timeout=5&application_name=x": "postgresql://u:p@h/db?sslmode=require&application_name=x",
		"postgresql+asyncpg://h:5432/db?prepared_statement_cache_size=0":                 "postgresql://h:5432/db",
		"postgresql+asyncpg://u@x.com:p@h/db":                                            "postgresql://u%40x.com:p@h/db",
		"postgresql+asyncpg://u@h:5432/db":                                               "postgresql://u@h:5432/db",
	} {
		got, problem := normalize(text)
		if got != want || problem != "" {
			t.Errorf("%q: %q, %s; want %q", text, got, problem, want)
		}
	}
}

// TestNormalize_BackendPasswords holds that pgx sees the password that the backend's SQLAlchemy sees.
func TestNormalize_BackendPasswords(t *testing.T) {
	t.Parallel()
	for written, meant := range map[string]string{
		"plain": "plain", "a%40b": "a@b", "a/b": "a/b", "a#b?c": "a#b?c", "50%": "50%", "a%zzb": "a%zzb", "a+b": "a+b", "a:b": "a:b", "비밀": "비밀", "[x]": "[x]", "": "",
	} {
		got, problem := normalize("postgresql+asyncpg://ada:" + written + "@h:5433/mgmt")
		text, _ := got.(string)
		config, err := pgx.ParseConfig(text)
		if problem != "" || err != nil {
			t.Errorf("%q: %s%v", written, problem, err)
			continue
		}
		if config.Password != meant || config.User != "ada" || config.Host != "h" || config.Port != 5433 || config.Database != "mgmt" {
			t.Errorf("%q is read as %q of %s at %s:%d/%s", written, config.Password, config.User, config.Host, config.Port, config.Database)
		}
	}
}

func FuzzNormalize(f *testing.F) {
	for _, s := range secrets {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		value, problem := normalize(text)
		if problem != "" {
			if value != nil || strings.Contains(problem, canary) {
				t.Errorf("%q: %v, %s", text, value, problem)
			}
			return
		}
		got, _ := value.(string)
		if again, problem := normalize(got); problem != "" || again != got {
			t.Errorf("%q becomes %q, and that %v, %s", text, got, again, problem)
		}
		// What a URL parser finds, the suspicious eye finds as well.
		if u, err := url.Parse(got); err == nil && u.User != nil && u.Scheme == "postgresql" {
			if p, _ := u.User.Password(); p != "" && !holdsPassword(got) {
				t.Errorf("the password in %q goes unseen", got)
			}
		}
	})
}
