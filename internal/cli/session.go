package cli

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

// storedLogin returns the credential store for the session's database.
func (a *app) storedLogin(s *session) credstore.Store {
	return credstore.New(config.StateDir(a.getenv), a.cfg.Profile, s.db.Addr(), a.getenv)
}

// credential returns the strongest credential of this run: the database role, the token file, the stored login or a
// claimed name. It returns an error if that is weaker than the profile requires. The operator of the profile is only a
// default. A name from --operator or CXGCTL_OPERATOR must match the credential, except that it replaces the stored
// login of another user if the profile accepts claims.
func (a *app) credential(s *session) (auth.Credential, error) {
	c := a.cfg
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
		return a.fileCredential(p)
	case c.AuthRequire == "claim" && c.Operator != "":
		l := a.storedLogin(s).LoadInfo()
		if l == nil || !l.Expires.After(a.now()) || named && l.Username != c.Operator {
			p.Name = c.Operator
			return p, nil
		}
		if l.Username != c.Operator {
			break // the login replaces the operator of the profile
		}
		p.Name = c.Operator
		if l, err := a.storedLogin(s).Load(); err == nil && l != nil {
			p.Token, p.Optional = l.Token, true
		}
		return p, nil
	}
	l, err := a.storedLogin(s).Load()
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
func (a *app) fileCredential(p auth.Credential) (auth.Credential, error) {
	token, err := config.ReadSecret("CXGCTL_TOKEN_FILE", a.cfg.TokenFile, a.getenv("CREDENTIALS_DIRECTORY"))
	if err != nil {
		return p, err
	}
	if !auth.IsJWT(token) {
		p.Token = token
		return p, nil
	}
	secret, err := a.jwtSecret()
	if err != nil {
		return p, err
	}
	access, err := auth.ReadAccess(secret, token, a.now())
	p.Access = &access
	return p, err
}

// jwtSecret reads the secret with which the backend signs its tokens.
func (a *app) jwtSecret() (string, error) {
	if a.cfg.JWTSecret == "" {
		return "", fault.New(fault.Unauthenticated, "cannot verify a token of the backend: auth.jwt_secret_file is not set").
			WithHint("set the file with the backend's secret in the profile: auth: {jwt_secret_file: F}")
	}
	return config.ReadSecret("auth.jwt_secret_file", a.cfg.JWTSecret, a.getenv("CREDENTIALS_DIRECTORY"))
}

// session connects, authenticates the operator and checks the command's permissions. A refusal is recorded as BLOCKED
// if there is an audit log. args are the arguments of the command.
func (a *app) session(ctx context.Context, cmd *cobra.Command, args ...string) (*session, error) {
	s, err := a.reach(ctx, cmd)
	if err != nil {
		return nil, err
	}
	p, err := a.credential(s)
	if err != nil {
		return s, err
	}
	s.who, s.cat, err = auth.Identify(ctx, s.db, p, a.tables(cmd), a.now())
	s.by = s.who.Operator
	if fault.Is(err, fault.Unauthenticated) && s.by.Claimed != "" {
		a.attributeToLogin(ctx, s, p)
		about := audit.Subject{Resource: "user", Name: s.by.Claimed}
		a.recordBlocked(ctx, s, cmd, audit.Intent{Subject: about, Action: audit.Execute}, err)
	}
	if err != nil {
		return s, err
	}
	if s.who.Enforced && !a.cfg.Enforce {
		return s, fault.New(fault.Validation, "%s:%d: auth.enforce_permissions cannot be false: permissions are enforced in this database", a.cfg.File, a.cfg.EnforceLine).
			WithHint("remove the key; enforcement cannot be switched off").With("file", a.cfg.File).With("line", a.cfg.EnforceLine)
	}
	s.who.Mark(ctx, s.db)
	if err := s.authorize(ctx, cmd, a.specOf(cmd)); err != nil {
		about := audit.Subject{Resource: nounOf(cmd)}
		if len(args) > 0 {
			about.Name = args[0]
		}
		a.recordBlocked(ctx, s, cmd, audit.Intent{Subject: about, Action: a.specOf(cmd).action()}, err)
		return s, err
	}
	if err := s.who.Touch(ctx, s.db); err != nil && ctx.Err() != nil {
		return s, err
	}
	return s, nil
}

// attributeToLogin makes the owner of the stored login the operator in the audit row of a refused claim. The row keeps
// the claimed name too.
func (a *app) attributeToLogin(ctx context.Context, s *session, p auth.Credential) {
	if p.Token != "" || p.Access != nil || p.DBRole {
		return
	}
	l, err := a.storedLogin(s).Load()
	if err != nil || l == nil {
		return
	}
	who, _, err := auth.Identify(ctx, s.db, auth.Credential{Token: l.Token}, nil, a.now())
	if err == nil {
		claimed := s.by.Claimed
		s.by = who.Operator
		s.by.Claimed = claimed
	}
}

// readTables reads the columns of the named tables.
func readTables(ctx context.Context, s *session, names []string) (schema.Catalog, error) {
	names = slices.Clone(names)
	slices.Sort(names)
	return schema.Read(ctx, s.db, slices.Compact(names)...)
}

// userAgent returns the user agent in sessions and login logs.
func userAgent() string {
	host, _ := os.Hostname()
	return "cxgctl/" + buildinfo.Version() + " (" + host + ")"
}
