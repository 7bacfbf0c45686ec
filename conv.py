import numpy as np; from pathlib import Path
for p in sorted(Path('/work/lab/senses/audio/work/tts').glob('*-?.npz')):
    q=Path('/work/lab/senses/audio/work/made')/p.name; q.parent.mkdir(exist_ok=True)
    k=np.load(p)
    if not q.exists(): np.savez(q, samples=k['samples'],lengths=k['lengths'],labels=k['words'])
