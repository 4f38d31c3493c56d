package devdb

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// npmCopy is where `make postgres` unpacks the npm package, relative to the project directory. rootCopy is where it
// unpacks it as root if the server's user cannot enter the project. .ci/postgres searches the same places in the same
// order.
const (
	npmCopy  = ".cache/postgres/bin"
	rootCopy = "/var/lib/cxgctl/postgres/bin"
)

// usual lists the directories of distributions: Debian, Fedora and PGDG's RPMs, Alpine, Homebrew.
var usual = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/usr/libexec/postgresql*",
	"/opt/homebrew/opt/postgresql*/bin",
	"/usr/local/opt/postgresql*/bin",
	"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
}

// binaries is a directory that contains initdb, pg_ctl and postgres.
type binaries struct {
	dir     string
	version string
	major   int
}

// find returns the first usable binaries, of the given major version unless it is 0. It prefers the directory that
// created the data, except to an explicit setting.
func (c cluster) find(ctx context.Context, major int, recorded string) (binaries, error) {
	var dirs []string
	switch {
	case c.BinDir != "":
		dirs = []string{resolve(c.BinDir)}
	case recorded != "":
		dirs = append([]string{recorded}, c.candidates(ctx)...)
	default:
		dirs = c.candidates(ctx)
	}
	var refused, others []string
	for _, dir := range dirs {
		b, err := c.examine(ctx, dir)
		switch {
		case ctx.Err() != nil:
			return binaries{}, interrupted(ctx, "looking for PostgreSQL's binaries")
		case err != nil:
			refused = append(refused, err.Error())
		case major == 0 || b.major == major:
			return b, nil
		default:
			others = append(others, b.version+" in "+b.dir)
		}
	}
	if len(others) > 0 {
		return binaries{}, fault.New(fault.Database, "the dev database in %s was created by PostgreSQL %d, but only %s was found",
			c.dir, major, strings.Join(others, ", ")).
			WithHint("install PostgreSQL %d, or start over with `cxgctl dev reset`, which removes the data", major)
	}
	message := "no PostgreSQL server found: initdb, pg_ctl and postgres are required"
	if len(refused) > 0 {
		message += " (" + strings.Join(slices.Compact(refused), "; ") + ")"
	}
	return binaries{}, fault.New(fault.Database, "%s", message).
		WithHint("install the package `postgresql` (apt-get install postgresql), or run `make postgres` in the project directory")
}

// candidates returns the directories to search, in order, that contain postgres.
func (c cluster) candidates(ctx context.Context) []string {
	var dirs []string
	add := func(dir string) {
		// A link such as /usr/local/bin/postgres points to the directory that also has initdb.
		program, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
		if err == nil && executable(program) && !slices.Contains(dirs, filepath.Dir(program)) {
			dirs = append(dirs, filepath.Dir(program))
		}
	}
	path := filepath.SplitList(c.getenv("PATH"))
	path = slices.DeleteFunc(path, func(dir string) bool { return !filepath.IsAbs(dir) })
	for _, dir := range path {
		add(dir)
	}
	for _, dir := range path {
		if file := filepath.Join(dir, "pg_config"); executable(file) {
			if out, err := exec.CommandContext(ctx, file, "--bindir").Output(); err == nil {
				add(strings.TrimSpace(string(out)))
			}
			break
		}
	}
	for _, pattern := range usual {
		found, _ := filepath.Glob(pattern) // the patterns are valid constants
		slices.SortStableFunc(found, func(a, b string) int { return numberIn(b) - numberIn(a) })
		for _, dir := range found {
			add(dir)
		}
	}
	add(rootCopy)
	for _, dir := range projectCopies() {
		add(dir)
	}
	return dirs
}

// projectCopies returns the unpacked npm packages in the working directory, the executable's directory and their
// parents, unless another user could have put them there.
func projectCopies() []string {
	var found []string
	wd, _ := os.Getwd() // the loop below skips ""
	exe, _ := os.Executable()
	exe, _ = filepath.EvalSymlinks(exe)
	for _, dir := range []string{wd, filepath.Dir(exe)} {
		for ; filepath.IsAbs(dir); dir = filepath.Dir(dir) {
			bin := filepath.Join(dir, npmCopy)
			if trusted(bin) && trusted(filepath.Join(bin, "postgres")) && trusted(filepath.Join(bin, "initdb")) {
				found = append(found, bin)
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return found
}

// examine returns the version in dir, or an error that explains why it is unusable.
func (c cluster) examine(ctx context.Context, dir string) (binaries, error) {
	for _, name := range []string{"initdb", "pg_ctl", "postgres"} {
		if !executable(filepath.Join(dir, name)) {
			return binaries{}, fmt.Errorf("%s has no %s", dir, name)
		}
	}
	if wall := c.account.barrier(dir); wall != "" {
		return binaries{}, fmt.Errorf("user %s cannot enter %s, a parent directory of %s", c.account.name, wall, dir)
	}
	cmd := c.command(ctx, filepath.Join(dir, "postgres"), "--version")
	out, err := cmd.CombinedOutput()
	_, text, _ := strings.Cut(string(out), "(PostgreSQL) ")
	version, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	if major := numberIn(version); err == nil && major > 0 {
		return binaries{dir: dir, version: version, major: major}, nil
	}
	why := lastLine(string(out))
	if why == "" && err != nil {
		why = err.Error()
	}
	return binaries{}, fmt.Errorf("%s does not run: %s", cmd.Path, why)
}

// command prepares a PostgreSQL program: as the server's user, in a directory that every user can enter, and without
// PG variables and language settings that would change its behavior.
func (c cluster) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C"}
	cmd.SysProcAttr = c.account.attributes()
	return cmd
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// numberIn returns the first number in a text, such as 17 in /usr/lib/postgresql/17/bin, or 0.
func numberIn(text string) int {
	digits := strings.FieldsFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if len(digits) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(digits[0]) // one that is too large is as good as the largest
	return n
}
