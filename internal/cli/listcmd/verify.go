package listcmd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
)

// verified is the outcome for one manifest.
type verified struct {
	Manifest string  `json:"manifest" table:"key"`
	File     string  `json:"file"` // beside the manifest
	Status   string  `json:"status"`
	Finding  *string `json:"finding"` // null if the file is as the manifest says
	Rows     int64   `json:"rows"`    // as the manifest says
}

var verifiedView = output.View{Name: "manifests", ID: "file", Table: []string{"manifest", "file", "status", "finding"}}

// NewExportsCommand returns the commands about files that exports wrote.
func NewExportsCommand(env *cmdutil.Env) *cobra.Command {
	return cmdutil.Group("exports", "Verify exported files", env.Anonymous(newVerify(env)))
}

func newVerify(env *cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "verify MANIFEST…", Short: "Compare exported files with their manifests", Args: cmdutil.AtLeast("MANIFEST"), ValidArgsFunction: cliflag.Files,
		Long: "Compares the bytes and the SHA-256 of each file with its manifest, which --manifest wrote. The file is looked for beside\n" +
			"the manifest. Exit code 9 says that a file differs or is missing. No database is needed.",
		Example: "  cxgctl exports verify invoices.json\n  cxgctl exports verify backup/*.json -o json",
	}
	cmd.RunE = cmdutil.RunAnonymous(env, func(_ context.Context, cmd *cobra.Command) error {
		refs := cmd.Flags().Args()
		var items []verified
		for _, ref := range refs {
			items = append(items, verify(env, ref)...)
		}
		failed := 0
		for _, v := range items {
			if v.Finding != nil {
				failed++
			}
		}
		if err := cmdutil.PrintWhole(env, verifiedView, items); err != nil || failed == 0 {
			return err
		}
		f := fault.New(fault.PartialFailure, "%d of %d differ from the manifest", failed, len(items))
		if failed == 1 {
			f.Message = fmt.Sprintf("1 of %d differs from the manifest", len(items))
		}
		for _, v := range items {
			if v.Finding != nil {
				f.Message += ": " + v.Manifest + ": " + *v.Finding
				break
			}
		}
		return f
	})
	cliflag.Annotate(cmd, cliflag.FileUse, "MANIFEST")
	return cmdutil.AddOutputFlags[verified](env, cmd)
}

// verify compares the files of a manifest with it.
func verify(env *cmdutil.Env, ref string) []verified {
	unread := func(finding string) []verified {
		return []verified{{Manifest: ref, Status: "DIFFERS", Finding: &finding}}
	}
	dir := filepath.Dir(ref)
	var in io.Reader
	if ref == cliflag.StandardStream {
		dir = "."
		stdin, resume := env.Input()
		defer resume()
		in = stdin
	} else {
		file, err := os.Open(ref)
		if err != nil {
			return unread("the manifest cannot be read: " + fault.Reason(err))
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	var m manifest
	err := json.NewDecoder(in).Decode(&m)
	if m.ExportedFile != nil {
		m.Files = []ExportedFile{*m.ExportedFile}
	}
	if err != nil || len(m.Files) == 0 {
		return unread("not a manifest of an export")
	}
	var items []verified
	for _, f := range m.Files {
		if f.File == "" || f.File != filepath.Base(f.File) || f.SHA256 == "" {
			return unread("not a manifest of an export")
		}
		v := verified{Manifest: ref, File: f.File, Status: "OK", Rows: f.Rows}
		if finding := f.compare(dir); finding != "" {
			v.Status, v.Finding = "DIFFERS", &finding
		}
		items = append(items, v)
	}
	return items
}

// compare returns how the file in a folder differs, or "".
func (f ExportedFile) compare(dir string) string {
	file, err := os.Open(filepath.Join(dir, f.File))
	if err != nil {
		return f.File + " cannot be read: " + fault.Reason(err)
	}
	defer func() { _ = file.Close() }()
	sum := sha256.New()
	size, err := io.Copy(sum, file)
	switch {
	case err != nil:
		return f.File + " cannot be read: " + fault.Reason(err)
	case size != f.Bytes:
		return f.File + " has " + output.Thousands(size) + " bytes, not " + output.Thousands(f.Bytes)
	case hex.EncodeToString(sum.Sum(nil)) != f.SHA256:
		return f.File + " has another SHA-256"
	}
	return ""
}
