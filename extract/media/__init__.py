"""Reading files: pictures, videos, sound, and the times of their frames.

containers.py: What a video file's container tells of lost frames.
files.py: Which files of the folders of corpus.videos hold a video's sound and the times of its pictures.
frames.py: The (video, frame) index of a corpus: which face crops there are. Frames are 1-based, `<video>/00001.jpg`.
images.py: Picture file -> pixels as the networks want them.
live.py: A video while it is being made: a camera, an RTSP or HTTP address, a pipe.
mjpeg.py: Pictures for the browsers of this machine, as they are made: Motion JPEG over HTTP, on loopback only.
picture_sets.py: Pictures that are of no video, as videos: sets of neighbours in a folder's or a list's order.
sound.py: A file's sound as mono samples on its own clock, in bounded memory.
streams.py: How a video file is opened, which of its streams is the film, and where its clock begins anew.
synthetic.py: Small video files whose sound and frame times are known, for tests and the benchmark.
tables.py: Per-frame tables of other people, CSV or Parquet, read a piece at a time.
timestamps.py: When each frame of a video file is shown.
video.py: Video file -> upright frames, one at a time: through PyAV, through OpenCV where PyAV cannot.
"""
