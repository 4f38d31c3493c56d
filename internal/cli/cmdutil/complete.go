package cmdutil

import (
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/auth"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/config"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
)

// CompletionTime is how long a TAB waits for words of the database, from the start of the process.
var CompletionTime = 300 * time.Millisecond

// recentRows is the number of rows of a list from which CompleteRecent chooses.
const recentRows = 500

// IsCompleting reports whether a shell asks for completions.
func (env *Env) IsCompleting() bool {
	return len(env.Args) > 0 && strings.HasPrefix(env.Args[0], cobra.ShellCompRequestCmd)
}

// CompleteLive completes with words of the database, at most db.MaxWords. The operator needs the permission of the
// spec, which is that of listing such rows. Errors and a server that does not answer in time give no words, and a
// completion never writes.
func CompleteLive(env *Env, spec Spec, find func(ctx context.Context, s *Session, cmd *cobra.Command, prefix string) ([]db.Word, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		ctx, cancel := context.WithDeadline(cmd.Context(), env.Started.Add(CompletionTime))
		defer cancel()
		if _, err := env.LoadConfig(cmd); err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		found := make(chan []db.Word, 1)
		go func() { // not everything stops with the context, such as a keyring
			own := *env
			words, err := own.live(ctx, cmd, spec, prefix, find)
			if err != nil {
				words = nil
			}
			own.Close()
			found <- words
		}()
		select {
		case <-ctx.Done():
			return nil, cobra.ShellCompDirectiveNoFileComp
		case words := <-found:
			return offered(words, prefix), cobra.ShellCompDirectiveNoFileComp
		}
	}
}

// live opens a session for a completion and returns the words that find returns.
func (env *Env) live(ctx context.Context, cmd *cobra.Command, spec Spec, prefix string,
	find func(context.Context, *Session, *cobra.Command, string) ([]db.Word, error),
) ([]db.Word, error) {
	env.Tenants.Refs = Unique(env.Tenants.Refs) // cobra parses the flags twice
	tenant := cmd.Flags().Lookup("tenant")
	spec.TenantOnly = spec.TenantOnly && tenant != nil && cliflag.Entering.Has(tenant)
	s, err := env.OpenManager(ctx, cmd)
	if err != nil {
		return nil, err
	}
	cred, err := OperatorCredential(env, s)
	if err != nil {
		return nil, err
	}
	if err := Identify(ctx, env, s, cred, append(env.TablesOf(cmd), spec.Tables...)...); err != nil {
		return nil, err
	}
	if err := s.authorize(ctx, cmd, spec); err != nil {
		return nil, err
	}
	if spec.TenantOnly {
		if env.Tenants.Many() {
			return nil, fault.New(fault.Usage, "several tenants")
		}
		if s, err = enterTenant(ctx, env, cmd, s); err != nil {
			return nil, err
		}
		if err := s.requireSeparable(); err != nil {
			return nil, err
		}
	}
	return find(ctx, s, cmd, prefix)
}

// offered returns the first different words that begin with prefix, with their descriptions. It leaves out words that a
// terminal or a shell could misread.
func offered(words []db.Word, prefix string) (list []cobra.Completion) {
	seen := map[string]bool{"": true}
	for _, w := range words {
		isSafe := output.Sanitize(w.Text) == w.Text && !strings.ContainsAny(w.Text, "\t\n")
		if seen[w.Text] || !strings.HasPrefix(w.Text, prefix) || !isSafe || len(list) == db.MaxWords {
			continue
		}
		seen[w.Text] = true
		if w.Note != nil && *w.Note != "" {
			note := strings.Join(strings.Fields(*w.Note), " ")
			list = append(list, cobra.CompletionWithDesc(w.Text, output.Sanitize(note)))
		} else {
			list = append(list, w.Text)
		}
	}
	return list
}

// CompleteProfiles completes the names of the profiles in the configuration file.
func (env *Env) CompleteProfiles(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names, _ := config.Profiles(env.ConfigFlags(cmd), env.Getenv, dir)
	return names, cobra.ShellCompDirectiveNoFileComp
}

// CompleteOperators completes the usernames of operators.
func CompleteOperators(env *Env) cobra.CompletionFunc {
	return CompleteLive(env, Spec{Permission: Users.permission("LIST")}, func(ctx context.Context, s *Session, _ *cobra.Command, _ string) ([]db.Word, error) {
		names, err := auth.Operators(ctx, s.DB, s.Catalog)
		return db.Words(names), err
	})
}

// CompleteRecent completes with words of the first rows of a list.
func CompleteRecent[T any](env *Env, spec Spec, open func(ctx context.Context, s *Session, cmd *cobra.Command) (db.ListQuery[T], error),
	word func(T) (text string, notes []*string),
) cobra.CompletionFunc {
	return CompleteLive(env, spec, func(ctx context.Context, s *Session, cmd *cobra.Command, prefix string) ([]db.Word, error) {
		q, err := open(ctx, s, cmd)
		if err != nil {
			return nil, err
		}
		size := recentRows
		if prefix == "" {
			size = db.MaxWords
		}
		recent, err := q.First(ctx, s.DB, size)
		if err != nil {
			return nil, err
		}
		var words []db.Word
		for _, row := range recent {
			text, notes := word(row)
			if text == "" || slices.ContainsFunc(words, func(w db.Word) bool { return w.Text == text }) {
				continue
			}
			var known []string
			for _, n := range notes {
				if n != nil {
					known = append(known, *n)
				}
			}
			note := strings.Join(known, " ")
			words = append(words, db.Word{Text: text, Note: &note})
		}
		return words, nil
	})
}
