/** What an expression says, after all checks. */
export type SqlCondition =
  | { readonly kind: 'constant'; readonly value: boolean }
  | { readonly kind: 'truth'; readonly of: SqlProperty }
  | { readonly kind: 'not'; readonly of: SqlCondition }
  | { readonly kind: 'and' | 'or'; readonly parts: readonly SqlCondition[] }
  | SqlComparison
  | { readonly kind: 'null'; readonly of: SqlOperand }
  | SqlMembership
  | SqlSearch;

export type SqlOperator = '=' | '<' | '<=' | '>' | '>=';

export interface SqlComparison {
  readonly kind: 'compare';
  readonly operator: SqlOperator;
  readonly left: SqlOperand;
  readonly right: SqlOperand;
}

/** `IN`: equal to at least one of the values. */
export interface SqlMembership {
  readonly kind: 'in';
  readonly of: SqlProperty;
  readonly texts: ReadonlySet<string>;
  readonly numbers: readonly SqlNumber[];
}

export type SqlSearchPlace = 'CONTAINS' | 'STARTSWITH' | 'ENDSWITH';

/** A text inside the value of a property. */
export interface SqlSearch {
  readonly kind: 'search';
  readonly of: SqlProperty;
  readonly place: SqlSearchPlace;
  readonly text: string;
  readonly negated: boolean;
}

/** What stands beside a comparison. */
export type SqlOperand = SqlProperty | SqlText | SqlNumber | SqlCondition;

export interface SqlProperty {
  readonly kind: 'property';
  /** Number of its name in {@link SqlExpression.names}. */
  readonly slot: number;
}

export interface SqlText {
  readonly kind: 'text';
  readonly value: string;
}

export interface SqlNumber {
  readonly kind: 'number';
  /** As written, with its sign. */
  readonly text: string;
  readonly value: number;
}

export interface SqlExpression {
  readonly condition: SqlCondition;
  /** The properties it names, each once. */
  readonly names: readonly string[];
}
