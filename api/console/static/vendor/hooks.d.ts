// The hooks of Preact that the console uses.
export function useState<T>(initial: T | (() => T)): [T, (next: T | ((before: T) => T)) => void];
export function useEffect(effect: () => void | (() => void), inputs?: unknown[]): void;
export function useLayoutEffect(effect: () => void | (() => void), inputs?: unknown[]): void;
export function useMemo<T>(make: () => T, inputs?: unknown[]): T;
export function useCallback<T extends (...values: any[]) => any>(callback: T, inputs: unknown[]): T;
export function useRef<T>(initial: T): { current: T };
export function useId(): string;
export function useContext<T>(context: { Provider: any }): T;
export function useErrorBoundary(): [Error | undefined, () => void];
