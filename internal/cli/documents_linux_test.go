package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/xuri/excelize/v2"

	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/migrate"
	"github.com/cxgctl/cxgctl/internal/seed"
)

// elsewhere says what runs the commands of a section, by page and heading, or a single command, by page and first words.
var elsewhere = map[string]string{
	"README/Install":                                             "make demo builds, TestPackage installs",
	"README/Quick start":                                         ".ci/run runs make demo",
	"README/Your own database":                                   "TestReadme_FirstSteps",
	"README/Commands":                                            "they are names only",
	"configuration/cxgctl config init":                           "TestReadme_FirstSteps",
	"environment/cxgctl config init":                             "TestReadme_FirstSteps",
	"getting-started/Packages":                                   "TestPackage",
	"getting-started/Try it":                                     "make demo and TestReadme_FirstSteps",
	"getting-started/Your own database":                          "TestReadme_FirstSteps",
	"operators/cxgctl auth login":                                "TestReadme_FirstSteps",
	"permissions/cxgctl auth bootstrap":                          "TestReadme_FirstSteps",
	"cookbook/Onboard many users, in steps that can be repeated": "TestCookbook_Onboarding",
}

// demoData is the template of migrated databases with the data of cxgctl dev up.
func demoData() dbtest.Template {
	return dbtest.Template{
		Name: "demo",
		Key:  migrate.Hash(migrate.Manager) + migrate.Hash(migrate.Tenants) + "1",
		Build: func(ctx context.Context, manager, tenants string) error {
			if err := adopt(ctx, manager, tenants); err != nil {
				return err
			}
			_, err := seed.Load(ctx, manager, tenants, seed.Size{Users: 1000, Invoices: 5000})
			return err
		},
	}
}

// TestDocuments runs the commands of every page in order, on the demo data. What a page prints below a command must be
// what a terminal shows.
func TestDocuments(t *testing.T) {
	if testing.Short() {
		t.Skip("runs every command of the documents; TestHelp_ExamplesParse parses the examples")
	}
	t.Parallel()
	world, err := txtar.ParseFile("testdata/documents.txtar")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]string{"README": string(readme)}
	for _, name := range topics() {
		pages[name], _ = topic(name)
	}
	for name, page := range pages {
		if commands := documented(name, page); len(commands) > 0 {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				runDocument(t, dbtest.New(t, demoData()), world, commands)
			})
		}
	}
}

// sample is a command of a page, with the output that the page shows, "" if none.
type sample struct{ command, output string }

// documented returns the commands of a page.
func documented(name, page string) (list []sample) {
	for section := range strings.SplitSeq("\n"+page, "\n## ") {
		heading, _, _ := strings.Cut(section, "\n")
		if elsewhere[name+"/"+heading] != "" {
			continue
		}
		for _, block := range codeBlock.FindAllString(strings.ReplaceAll(section, "\\\n", ""), -1) {
			for _, c := range samplesOf(strings.ReplaceAll("\n"+block, "\n    ", "\n")) {
				words := strings.Fields(c.command + " x x")[:3]
				if elsewhere[name+"/"+strings.Join(words, " ")] == "" {
					list = append(list, c)
				}
			}
		}
	}
	return list
}

// samplesOf returns the commands of a block. In a block with prompts the other lines are output.
func samplesOf(block string) (list []sample) {
	shows := prompt.MatchString(block)
	for line := range strings.Lines(block) {
		command, prompted := strings.CutPrefix(line, "$ ")
		switch {
		case strings.HasPrefix(line, "```"):
		case shows && !prompted && len(list) > 0:
			list[len(list)-1].output += line
		case sampleCommand.MatchString(command):
			list = append(list, sample{command: strings.TrimSpace(cronTime.ReplaceAllString(command, ""))})
		}
	}
	return list
}

// literalID matches the ids of audit rows in documents. They mean the last update of ada.
var literalID = regexp.MustCompile(`\b01a2[0-9a-f]{4}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`)

func runDocument(t *testing.T, pair dbtest.Pair, world *txtar.Archive, commands []sample) {
	t.Helper()
	dir := t.TempDir()
	for _, f := range world.Files {
		if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	writeSheet(t, filepath.Join(dir, "people.xlsx"))
	bash := func(command string) *process {
		p := cxgctl(t, pair)
		p.Path, p.Args, p.Dir = "/bin/bash", []string{"bash", "-euo", "pipefail", "-c", command}, dir
		for name, value := range running.environment() {
			p.env(name + "=" + value)
		}
		return p.env("HOME="+dir, "EDITOR=true", "NO_COLOR=1", "CXGCTL_OPERATOR=", "CXGCTL_CONFIG="+filepath.Join(dir, "config.yaml"))
	}
	bash(string(world.Comment)).exits(t, 0)

	here := strings.NewReplacer("/mnt/worm", dir, "/var/lib/cxgctl", dir)
	for _, c := range commands {
		command := literalID.ReplaceAllStringFunc(here.Replace(c.command), func(string) string {
			return ask(t, pair.Manager, `
SELECT l.id
  FROM audt.audit_logs l JOIN idam.users u ON u.id::text = l.resource_id
 WHERE u.username = 'ada' AND l.action_performed = 'UPDATE'
 ORDER BY l.id DESC
 LIMIT 1`)
		})
		if c.output != "" {
			p := bash(command).env("CXGCTL_TEST_HOST=")
			p.columns = 100
			sitting := p.onTerminal(t)
			sitting.leaves(t, 0)
			if normalized(sitting.sees()) != normalized(c.output) {
				t.Errorf("%s\nprints\n%s\nthe page says\n%s", command, sitting.sees(), c.output)
			}
			continue
		}
		p := bash(command)
		code := p.code(t)
		if code == 10 { // it asks for a confirmation
			p = bash(command + " --yes")
			code = p.code(t)
		}
		if code != 0 {
			t.Errorf("%s\nexits with %d\n%s%s", command, code, p.out.String(), p.err.String())
		}
	}
}

var (
	anID  = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	anAge = regexp.MustCompile(`\d+ (second|minute|hour|day|week|month|year)s? ago|just now`)
	aTime = regexp.MustCompile(`20\d\d-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z| ?[+-]\d\d:\d\d)?|as of [0-9-]+`)
	gap   = regexp.MustCompile(` {2,}`)
)

// normalized replaces what differs between two runs: ids, ages and times, and the width of their columns.
func normalized(text string) string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = anID.ReplaceAllString(text, "ID")
	text = anAge.ReplaceAllString(text, "AGE")
	text = aTime.ReplaceAllString(text, "TIME")
	return strings.TrimSpace(gap.ReplaceAllString(text, "  "))
}

// writeSheet writes a spreadsheet with a new user.
func writeSheet(t *testing.T, name string) {
	t.Helper()
	f := excelize.NewFile()
	for i, row := range [][]any{{"username", "E-Mail", "full_name"}, {"dora", "dora@example.com", "Dora Kim"}} {
		if err := f.SetSheetRow("Sheet1", fmt.Sprintf("A%d", i+1), &row); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.SaveAs(name); err != nil {
		t.Fatal(err)
	}
}
