package cmdutil

import (
	"context"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/auth"
	"github.com/cxgctl/cxgctl/internal/buildinfo"
	"github.com/cxgctl/cxgctl/internal/config"
	"github.com/cxgctl/cxgctl/internal/credstore"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// StoredLogin returns the credential store for the session's database.
func StoredLogin(env *Env, s *Session) credstore.Store {
	return credstore.New(config.StateDir(env.Getenv), env.Config.Profile, s.DB.Addr(), env.Getenv)
}

// OperatorCredential returns the strongest credential of this run: the database role, the token file, the stored login or a
// claimed name. It returns an error if that is weaker than the profile requires. The operator of the profile is only a
// default. A name from --operator or CXGCTL_OPERATOR must match the credential, except that it replaces the stored
// login of another user if the profile accepts claims.
func OperatorCredential(env *Env, s *Session) (auth.Credential, error) {
	c := env.Config
	p := auth.Credential{}
	named := c.Operator != "" && (c.Sources["operator"] == "--operator" || c.Sources["operator"] == "env CXGCTL_OPERATOR")
	if named {
		p.Name = c.Operator
	}
	switch {
	case c.AuthRequire == "db_role":
		p.DBRole = true
		return p, nil
	case c.TokenFile != "":
		return fileCredential(env, p)
	case c.AuthRequire == "claim" && c.Operator != "":
		l := StoredLogin(env, s).LoadInfo()
		if l == nil || !l.Expires.After(env.now()) || named && l.Username != c.Operator {
			p.Name = c.Operator
			return p, nil
		}
		if l.Username != c.Operator {
			break // the login replaces the operator of the profile
		}
		p.Name = c.Operator
		if l, err := StoredLogin(env, s).Load(); err == nil && l != nil {
			p.Token, p.Optional = l.Token, true
		}
		return p, nil
	}
	l, err := StoredLogin(env, s).Load()
	switch {
	case err != nil:
		return p, err
	case l != nil:
		p.Token = l.Token
	case c.AuthRequire == "login":
		return p, fault.New(fault.Unauthenticated, "not logged in; this profile requires a login").
			WithHint("cxgctl auth login, or a key in CXGCTL_TOKEN_FILE").With("auth.require", c.AuthRequire)
	}
	return p, nil
}

// fileCredential reads the token file, which holds a service key, a login token or an access token of the backend.
func fileCredential(env *Env, p auth.Credential) (auth.Credential, error) {
	token, err := config.ReadSecret("CXGCTL_TOKEN_FILE", env.Config.TokenFile, env.Getenv("CREDENTIALS_DIRECTORY"))
	if err != nil {
		return p, err
	}
	if !auth.IsJWT(token) {
		p.Token = token
		return p, nil
	}
	secret, err := JWTSecret(env)
	if err != nil {
		return p, err
	}
	access, err := auth.ReadAccess(secret, token, env.now())
	p.Access = &access
	return p, err
}

// JWTSecret reads the secret with which the backend signs its tokens.
func JWTSecret(env *Env) (string, error) {
	if env.Config.JWTSecret == "" {
		return "", fault.New(fault.Unauthenticated, "cannot verify a token of the backend: auth.jwt_secret_file is not set").
			WithHint("set the file with the backend's secret in the profile: auth: {jwt_secret_file: F}")
	}
	return config.ReadSecret("auth.jwt_secret_file", env.Config.JWTSecret, env.Getenv("CREDENTIALS_DIRECTORY"))
}

// OpenSession connects, authenticates the operator and checks the command's permissions. A refusal is recorded as BLOCKED
// if there is an audit log. args are the arguments of the command.
func OpenSession(ctx context.Context, env *Env, cmd *cobra.Command, args ...string) (*Session, error) {
	s, err := env.Reach(ctx, cmd)
	if err != nil {
		return nil, err
	}
	p, err := OperatorCredential(env, s)
	if err != nil {
		return s, err
	}
	s.Identity, s.Catalog, err = auth.Identify(ctx, s.DB, p, env.TablesOf(cmd), env.now())
	s.Operator = s.Identity.Operator
	if fault.Is(err, fault.Unauthenticated) && s.Operator.Claimed != "" {
		attributeToLogin(ctx, env, s, p)
		about := audit.Subject{Resource: "user", Name: s.Operator.Claimed}
		recordBlocked(ctx, env, s, cmd, audit.Intent{Subject: about, Action: audit.Execute}, err)
	}
	if err != nil {
		return s, err
	}
	if s.Identity.Enforced && !env.Config.Enforce {
		return s, fault.New(fault.Validation, "%s:%d: auth.enforce_permissions cannot be false: permissions are enforced in this database", env.Config.File, env.Config.EnforceLine).
			WithHint("remove the key; enforcement cannot be switched off").With("file", env.Config.File).With("line", env.Config.EnforceLine)
	}
	s.Identity.Mark(ctx, s.DB)
	if err := s.authorize(ctx, cmd, env.SpecOf(cmd)); err != nil {
		name := ""
		if len(args) > 0 {
			name = args[0]
		}
		recordBlocked(ctx, env, s, cmd, env.SpecOf(cmd).intent(name), err)
		return s, err
	}
	if err := s.Identity.Touch(ctx, s.DB); err != nil && ctx.Err() != nil {
		return s, err
	}
	return s, nil
}

// attributeToLogin makes the owner of the stored login the operator in the audit row of a refused claim. The row keeps
// the claimed name too.
func attributeToLogin(ctx context.Context, env *Env, s *Session, p auth.Credential) {
	if p.Token != "" || p.Access != nil || p.DBRole {
		return
	}
	l, err := StoredLogin(env, s).Load()
	if err != nil || l == nil {
		return
	}
	who, _, err := auth.Identify(ctx, s.DB, auth.Credential{Token: l.Token}, nil, env.now())
	if err == nil {
		claimed := s.Operator.Claimed
		s.Operator = who.Operator
		s.Operator.Claimed = claimed
	}
}

// ReadTables reads the columns of the named tables.
func ReadTables(ctx context.Context, s *Session, names []string) (schema.Catalog, error) {
	names = slices.Clone(names)
	slices.Sort(names)
	return schema.Read(ctx, s.DB, slices.Compact(names)...)
}

// UserAgent returns the user agent in sessions and login logs.
func UserAgent() string {
	host, _ := os.Hostname()
	return "cxgctl/" + buildinfo.Version() + " (" + host + ")"
}
